"""Which data set an experiment uses, where it is looked for, how it is split and what its images go through."""

import dataclasses
from typing import Any

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.data import registry
from jaxticket.data.own.schemes import LARGEST_SIDE, scheme_of
from jaxticket.data.specs import DatasetSpec
from jaxticket.data.subsets import check_parts, parse_part


@dataclasses.dataclass(frozen=True)
class AugmentOptions:
    """Random changes of training images, in this order; see `augmentation`. All are off by default.

    Attributes:
        crop_padding: pixels of zeros added on every side before a random crop back to the size of the image.
        resized_crop: side of a random window scaled to a square; test images are scaled and cropped in the middle.
        flip: mirror an image left to right with probability 1/2.
        rotation: greatest angle of a random rotation, in degrees, in either direction.
        cutout: side of a square that is set to zero at a random position.
        mixup: alpha of the Beta distribution by which two images and their labels are mixed.
    """

    crop_padding: int = option(0, minimum=0)
    resized_crop: int = option(0, minimum=0, maximum=4096)
    flip: bool = option(False)
    rotation: float = option(0.0, minimum=0, maximum=180)
    cutout: int = option(0, minimum=0)
    mixup: float = option(0.0, minimum=0, maximum=100)

    def check(self, where: str) -> None:
        """Refuses two kinds of crop at once."""
        if self.crop_padding and self.resized_crop:
            raise ConfigError(
                f"config.{where}.crop_padding={self.crop_padding}: {where}.resized_crop={self.resized_crop} crops too; "
                f"set one of them to 0"
            )


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Options of the data.

    Attributes:
        name: a registered data set, which `jaxticket.data.names()` lists; or data of one's own, `folder:PATH`,
            `npz:FILE`, `parquet:PATH` or `hf:NAME`.
        download: whether missing archives may be downloaded from their public address.
        folder: where to look for data sets and keep decoded copies; empty: the environment variable JAXTICKET_DATA,
            else `~/.cache/jaxticket/data`.
        val_fraction: share of the official training images kept for validation, in [0, 1).
        val_seed: seed of the choice of validation images; separate from all other seeds, so that replicates share one
            validation split.
        train_fraction: share of the remaining training images to use, from the beginning: 0.1 is `train[:10%]`.
        part: which part of the classes to use: `full` for all, `1/2` for the first of two equal parts (COLT, section
            3).
        class_order: how classes are assigned to parts: in order of their `label`, or `shuffled`.
        class_seed: seed of that shuffle.
        label_noise: share of the training labels that are replaced by a wrong one.
        noise_seed: seed of the choice of those labels and of their replacements.
        mean: of each channel, on the scale from 0 to 1 of a pixel's values, as normalisation subtracts it; empty: the
            customary one of the data set, or that of its training images.
        std: by which it divides, likewise.
        image_size: side of the images of data of one's own: their shorter side is scaled to it, and the middle is
            cropped; 0: as they are, all of one size.
        stream: whether images of one's own are read from disk while training instead of being kept in memory; None:
            where they take more than 4 GB once decoded.
        augment: random changes of training images.

    Example:
        >>> from jaxticket import data
        >>> data.DataOptions("digits", val_fraction=0.1).split_sizes()
        (1293, 144, 360)
    """

    name: str = option("digits")
    download: bool = option(False, hashed=False)
    folder: str = option("", hashed=False)
    val_fraction: float = option(0.1, minimum=0, below=1)
    val_seed: int = option(0, minimum=0)
    train_fraction: float = option(1.0, above=0, maximum=1)
    part: str = option("full")
    class_order: str = option("label", choices=("label", "shuffled"))
    class_seed: int = option(0, minimum=0)
    label_noise: float = option(0.0, minimum=0, maximum=1)
    noise_seed: int = option(0, minimum=0)
    mean: tuple[float, ...] = option((), minimum=0, maximum=1)
    std: tuple[float, ...] = option((), above=0, maximum=1)
    image_size: int = option(0, minimum=0, maximum=LARGEST_SIDE)
    stream: bool | None = option(None)
    augment: AugmentOptions = dataclasses.field(default_factory=AugmentOptions)

    def check(self, where: str) -> None:
        """Refuses unknown data sets, and splits and parts that are impossible; reads no data but that of one's own.

        Raises:
            ConfigError: naming the key, the value and what is allowed.
            DataError: naming the file of one's own that cannot be used.
        """
        prefix = f"config.{where}." if where else "config."
        own = scheme_of(self.name) is not None
        if not own and self.name not in registry.names():
            raise ConfigError(f"{prefix}name={self.name!r}: {registry.unknown_name(self.name)}")
        for key in ("image_size", "stream"):
            if not own and getattr(self, key) != getattr(DataOptions, key):
                raise ConfigError(
                    f"{prefix}{key}={getattr(self, key)}: {self.name} is as it is registered; only data of your own, "
                    "such as folder:PATH, has this key"
                )
        spec = registry.spec(self.name, **self._own_arguments, new=True)
        for key in ("mean", "std"):
            if (found := len(getattr(self, key))) not in (0, spec.image_shape[2]):
                raise ConfigError(
                    f"{prefix}{key}={getattr(self, key)}: has {found} numbers, and the images of {self.name} have "
                    f"{spec.image_shape[2]} channels; give one for each"
                )
        try:
            train, _, _ = spec.split_sizes(self.val_fraction)
            check_parts(spec, self.part)
        except ConfigError as error:
            raise ConfigError(f"{prefix}{error}") from error
        if not round(self.train_fraction * train):
            raise ConfigError(
                f"{prefix}train_fraction={self.train_fraction}: leaves none of the {train} training images; raise it"
            )
        if spec.stream and self.label_noise:
            raise ConfigError(
                f"{prefix}label_noise={self.label_noise}: {self.name} is streamed and its labels stay as they are; "
                f"set it to 0"
            )
        if not spec.one_class_each and self.label_noise:
            raise ConfigError(
                f"{prefix}label_noise={self.label_noise}: images of {self.name} do not have one class each; set it to 0"
            )
        moved = [key for key in ("crop_padding", "resized_crop", "flip", "rotation") if getattr(self.augment, key)]
        if spec.target_shape and moved:
            raise ConfigError(
                f"{prefix}augment.{moved[0]}={getattr(self.augment, moved[0])}: would move the images of {self.name} "
                "and not the labels of their pixels; turn it off"
            )
        side = min(self.image_shape[:2])
        for key, least in (("resized_crop", None if spec.stream else min(spec.image_shape[:2])), ("cutout", side)):
            if least is not None and getattr(self.augment, key) > least:
                raise ConfigError(
                    f"{prefix}augment.{key}={getattr(self.augment, key)}: must be at most the side of the images of "
                    f"{self.name}, {least}"
                )
        if self.augment.crop_padding >= side:
            raise ConfigError(
                f"{prefix}augment.crop_padding={self.augment.crop_padding}: must be less than the side of the images "
                f"of {self.name}, {side}, or most crops show nothing of them"
            )

    @property
    def spec(self) -> DatasetSpec:
        """What is known of the whole data set."""
        return registry.spec(self.name, **self._own_arguments)

    @property
    def _own_arguments(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in ("folder", "image_size", "stream", "download")}

    @property
    def num_classes(self) -> int:
        """The number of labels, of the chosen part."""
        return self.spec.num_classes // parse_part(self.part)[1]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of what a network is given."""
        side = self.augment.resized_crop
        return (side, side, self.spec.image_shape[2]) if side else self.spec.image_shape

    def split_sizes(self) -> tuple[int, int, int] | None:
        """The number of (training, validation, test) images; None where only the labels can tell: of a part."""
        if self.part != "full":
            return None
        train, val, test = self.spec.split_sizes(self.val_fraction)
        return round(self.train_fraction * train), val, test

    def estimated_sizes(self) -> tuple[int, int, int]:
        """What `split_sizes` is, by what the data set is known to be; of a part, as if all classes had equally many."""
        train, val, test = self.spec.split_sizes(self.val_fraction)
        parts = parse_part(self.part)[1]
        return round(self.train_fraction * train / parts), round(val / parts), round(test / parts)

    def load_arguments(self) -> dict[str, Any]:
        """What `load` is called with."""
        arguments = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        augment = arguments.pop("augment")
        return {**arguments, "side": augment.resized_crop}
