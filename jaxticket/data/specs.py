"""What can be known of a data set without reading it."""

import dataclasses
import math
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from jaxticket.core.errors import ConfigError

if TYPE_CHECKING:
    from jaxticket.data.splits import Split

Source: TypeAlias = "Callable[[DatasetSpec, Path], Mapping[str, Split] | None]"


@dataclasses.dataclass(frozen=True)
class Archive:
    """A file in which a data set is distributed.

    Attributes:
        name: its file name.
        size: its size in bytes; 0 where that was not published.
        sha256: its SHA-256, hexadecimal; empty where that was not published.
        content_sha256: that of the content once decompressed, which does not depend on who compressed it; empty:
            the file itself is checked.
        debian_path: where a Debian package puts it; empty: into the `debian_folder` of the data set.
    """

    name: str
    size: int
    sha256: str
    content_sha256: str = ""
    debian_path: str = ""


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """What is known of a data set without reading it.

    Attributes:
        name: what it is called here.
        version: of its content and order; names the decoded copy, and the folder of TensorFlow Datasets.
        image_shape: (height, width, channels); of a streamed set, what a network is given.
        class_names: by label; mere numbers where there are too many names to list.
        train_size: number of official training images, before a validation split is taken away.
        test_size: number of test images.
        sources: where it can come from, in order of preference: names of `find.SOURCES`, the last one being the format
            of its archives where it has any; or functions (spec, folder of data sets) -> its official splits `train`
            and `test` as `Split`s by name, or None where the folder does not have them.
        archives: the files in which it is distributed; none when it comes with the package.
        url: the address of the folder that holds the archives; empty where they cannot be fetched without an
            account, or not be verified.
        access: what to do without a `url`, as part of a sentence.
        debian_package: the Debian package, or packages, with the archives.
        debian_folder: where that package puts them.
        tfds_name: `name` or `name/config` in TensorFlow Datasets; empty: `name`.
        test_split: the split of TensorFlow Datasets that is the test split here.
        label_key: the feature of TensorFlow Datasets that is the label here.
        mean: per channel, on the scale from 0 to 1 of a pixel's values, as customarily used; empty: computed from
            the data.
        std: likewise.
        augment: the customary augmentation of training images, read-only: `crop_padding` (pixels of zeros on each
            side before a random crop), `flip` (horizontal, every other time), `rotation` (at most so many degrees
            either way), `resized_crop` (side of the result).
        stream: whether it is too large for memory and its images have sizes of their own.
        targets: what labels are: `classes`, or `values`, numbers to be predicted, or 0 and 1 for each of several
            labels; then `class_names` are the names of the outputs.
        target_shape: of the labels of one image, such as (height, width) where each pixel has one; empty for one label.
        fit: whether images of other sizes are scaled by their shorter side and cropped in the middle.
        val_size: number of official validation images; 0: they are taken from the training images.
    """

    name: str
    version: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    train_size: int
    test_size: int
    sources: tuple["str | Source", ...]
    archives: tuple[Archive, ...] = ()
    url: str = ""
    access: str = ""
    debian_package: str = ""
    debian_folder: str = ""
    tfds_name: str = ""
    test_split: str = "test"
    label_key: str = "label"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    augment: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    stream: bool = False
    fit: bool = False
    targets: str = "classes"
    target_shape: tuple[int, ...] = ()
    val_size: int = 0

    def __post_init__(self) -> None:
        if self.targets not in ("classes", "values"):
            raise ConfigError(f"data set {self.name!r}: targets={self.targets!r}; must be 'classes' or 'values'")
        if self.archives and not isinstance(self.sources[-1], str):
            raise ConfigError(
                f"data set {self.name!r}: has archives, so its last source must be the name of their format"
            )
        object.__setattr__(self, "augment", types.MappingProxyType(dict(self.augment)))

    @property
    def num_classes(self) -> int:
        """The number of labels, which are 0 to `num_classes - 1`."""
        return len(self.class_names)

    @property
    def one_class_each(self) -> bool:
        """Whether every image belongs to one class."""
        return self.targets == "classes" and not self.target_shape

    def labels_shape(self, size: int) -> tuple[int, ...]:
        """The shape of the labels of so many images."""
        return (size, *self.target_shape, *((self.num_classes,) if self.targets == "values" else ()))

    @property
    def labels_dtype(self) -> str:
        """Their dtype."""
        return "int32" if self.targets == "classes" else "float32"

    @property
    def prepared_name(self) -> str:
        """Its name in TensorFlow Datasets, `name` or `name/config`."""
        return self.tfds_name or self.name

    @property
    def folder_name(self) -> str:
        """The folder, among data sets, of its archives; data sets of the same archives share it."""
        return self.prepared_name.partition("/")[0]

    @property
    def download_bytes(self) -> int:
        """The size of all archives; 0 when nothing needs to be fetched."""
        return sum(archive.size for archive in self.archives)

    @property
    def disk_bytes(self) -> int:
        """The size once ready: the decoded copy (uint8 images and int32 labels), or all images of a streamed set."""
        if self.stream:
            return self.download_bytes
        return (self.train_size + self.test_size) * (math.prod(self.image_shape) + 4)

    @property
    def official_sizes(self) -> dict[str, int]:
        """The number of images in each official split."""
        val = {"val": self.val_size} if self.val_size else {}
        return {"train": self.train_size, "test": self.test_size, **val}

    def tfds_split(self, split: str) -> str:
        """What the official split `train` or `test` is called in TensorFlow Datasets; the salt of its order."""
        return self.test_split if split == "test" else split

    def split_sizes(self, val_fraction: float = 0.1) -> tuple[int, int, int]:
        """The number of (training, validation, test) images; `round(val_fraction * train_size)` validate.

        Where there are official validation images all of these do, unless `val_fraction` is 0.

        Raises:
            ConfigError: `val_fraction` is not in [0, 1), or leaves no training image.
        """
        if not 0 <= val_fraction < 1:
            raise ConfigError(f"val_fraction={val_fraction!r}: must be at least 0 and less than 1")
        if self.val_size:
            return self.train_size, self.val_size if val_fraction else 0, self.test_size
        val = round(val_fraction * self.train_size)
        if val == self.train_size:
            raise ConfigError(
                f"val_fraction={val_fraction!r}: leaves none of the {self.train_size:,} training images of "
                f"{self.name}; it must be smaller"
            )
        return self.train_size - val, val, self.test_size
