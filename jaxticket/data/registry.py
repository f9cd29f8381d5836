"""What is known of every data set without reading it: shapes, classes, split sizes, archives and sources.

A new data set is one more row of `_SPECS`, as long as it comes from a source listed in `sources.py`.
"""

import dataclasses
import math

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import must_be_one_of


@dataclasses.dataclass(frozen=True)
class Archive:
    """A file in which a data set is distributed.

    Attributes:
        name: its file name.
        size: its size in bytes.
        sha256: its SHA-256, hexadecimal.
        content_sha256: that of the content once decompressed, which does not depend on who compressed it.
    """

    name: str
    size: int
    sha256: str
    content_sha256: str


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """The static facts of a data set.

    Attributes:
        name: what it is called here.
        version: of its content and order; names the decoded copy, and the folder of TensorFlow Datasets.
        image_shape: (height, width, channels).
        class_names: by label.
        train_size: number of official training images, before a validation split is taken away.
        test_size: number of test images.
        sources: where it can come from, in order of preference; the keys of `sources.SOURCES`.
        archives: the files in which it is distributed; none when it comes with the package.
        url: the address of the folder that holds the archives.
        debian_package: a Debian package with the archives.
        debian_folder: where that package puts them.
    """

    name: str
    version: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    train_size: int
    test_size: int
    sources: tuple[str, ...]
    archives: tuple[Archive, ...] = ()
    url: str = ""
    debian_package: str = ""
    debian_folder: str = ""

    @property
    def num_classes(self) -> int:
        """The number of labels, which are 0 to `num_classes - 1`."""
        return len(self.class_names)

    @property
    def download_bytes(self) -> int:
        """The size of all archives; 0 when nothing needs to be fetched."""
        return sum(archive.size for archive in self.archives)

    @property
    def disk_bytes(self) -> int:
        """The size of the decoded copy: uint8 images and int32 labels of both official splits."""
        return (self.train_size + self.test_size) * (math.prod(self.image_shape) + 4)

    @property
    def official_sizes(self) -> dict[str, int]:
        """The number of images in each official split."""
        return {"train": self.train_size, "test": self.test_size}

    def split_sizes(self, val_fraction: float = 0.1) -> tuple[int, int, int]:
        """The number of (training, validation, test) images; `round(val_fraction * train_size)` validate.

        Raises:
            ConfigError: `val_fraction` is not in [0, 1), or leaves no training image.
        """
        if not 0 <= val_fraction < 1:
            raise ConfigError(f"val_fraction={val_fraction!r}: must be at least 0 and less than 1")
        val = round(val_fraction * self.train_size)
        if val == self.train_size:
            raise ConfigError(
                f"val_fraction={val_fraction!r}: leaves none of the {self.train_size:,} training images of "
                f"{self.name}; it must be smaller"
            )
        return self.train_size - val, val, self.test_size


def names() -> tuple[str, ...]:
    """The data sets that `load` knows, sorted."""
    return tuple(sorted(_SPECS))


def spec(name: str) -> DatasetSpec:
    """The static facts of the data set `name`; no data is read.

    Raises:
        ConfigError: there is no such data set.
    """
    if name not in _SPECS:
        raise ConfigError(f"data set {name!r}: {unknown_name(name)}")
    return _SPECS[name]


def unknown_name(name: str) -> str:
    """What to say of a name that is not registered: the ones that are, and the nearest."""
    return must_be_one_of(name, names())


_DIGIT_NAMES = tuple("0123456789")

# Sizes and SHA-256 of the archives: the checksum lists of tensorflow-datasets 4.9.10. Those of the content
# were computed from the archives (fashion_mnist) or are the ones published for the files (mnist).
_SPECS = {
    row.name: row
    for row in (
        DatasetSpec(
            name="digits",
            version="1.0.0",
            image_shape=(8, 8, 1),
            class_names=_DIGIT_NAMES,
            train_size=1437,
            test_size=360,
            sources=("vendored",),
        ),
        DatasetSpec(
            name="fashion_mnist",
            version="3.0.1",
            image_shape=(28, 28, 1),
            class_names=(
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            train_size=60_000,
            test_size=10_000,
            sources=("tfds", "idx"),
            archives=(
                Archive(
                    "train-images-idx3-ubyte.gz",
                    26_421_880,
                    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                ),
                Archive(
                    "train-labels-idx1-ubyte.gz",
                    29_515,
                    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                ),
                Archive(
                    "t10k-images-idx3-ubyte.gz",
                    4_422_102,
                    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                ),
                Archive(
                    "t10k-labels-idx1-ubyte.gz",
                    5_148,
                    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                ),
            ),
            url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            debian_package="dataset-fashion-mnist",
            debian_folder="/usr/share/datasets/fashion-mnist",
        ),
        DatasetSpec(
            name="mnist",
            version="3.0.1",
            image_shape=(28, 28, 1),
            class_names=_DIGIT_NAMES,
            train_size=60_000,
            test_size=10_000,
            sources=("tfds", "idx"),
            archives=(
                Archive(
                    "train-images-idx3-ubyte.gz",
                    9_912_422,
                    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                ),
                Archive(
                    "train-labels-idx1-ubyte.gz",
                    28_881,
                    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                ),
                Archive(
                    "t10k-images-idx3-ubyte.gz",
                    1_648_877,
                    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                ),
                Archive(
                    "t10k-labels-idx1-ubyte.gz",
                    4_542,
                    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                ),
            ),
            url="https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
    )
}
