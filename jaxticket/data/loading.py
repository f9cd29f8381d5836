"""From a name to a data set in memory, or to one that is streamed."""

import dataclasses
import os

import numpy as np

from jaxticket.core.errors import ConfigError
from jaxticket.data import registry
from jaxticket.data.own.copies import own_data
from jaxticket.data.own.schemes import scheme_of
from jaxticket.data.own.streams import OwnStreams
from jaxticket.data.registry import data_folder
from jaxticket.data.sources import find
from jaxticket.data.splits import Dataset, Split, channel_statistics, content_digest, validation_split
from jaxticket.data.streaming import PreparedStreams, open_streams
from jaxticket.data.subsets import check_parts, class_parts, noisy_labels, parse_part, take_classes


def load(
    name: str,
    *,
    folder: str | os.PathLike[str] | None = None,
    download: bool = False,
    val_fraction: float = 0.1,
    val_seed: int = 0,
    train_fraction: float = 1.0,
    part: str = "full",
    class_order: str = "label",
    class_seed: int = 0,
    label_noise: float = 0.0,
    noise_seed: int = 0,
    side: int = 0,
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    image_size: int = 0,
    stream: bool | None = None,
) -> Dataset:
    """The data set `name`, with a validation split taken from its official training images.

    The order of the images, and so which of them are kept for validation, does not depend on where they were
    found. `digits`, which comes with the package, has no official test split; its last 360 images in a fixed
    permutation are the test split, the other 1,437 the official training images. Which images validate depends on
    `val_fraction` and `val_seed` alone: an image that validates the whole set validates its part too.

    Args:
        name: a registered name, which `names()` lists; or `folder:PATH`, `npz:FILE`, `parquet:PATH` or `hf:NAME`.
        folder: where data sets are looked for and decoded copies are kept; None or empty: the environment
            variable JAXTICKET_DATA, else `~/.cache/jaxticket/data`.
        download: whether missing archives may be fetched from their public address; nothing is fetched else.
        val_fraction: share of the official training images kept for validation, in [0, 1).
        val_seed: which ones, at least 0.
        train_fraction: share of the remaining training images that is used, the first ones, in (0, 1].
        part: `full`, or which part of the classes in all three splits, such as `1/2`; see `class_parts`.
        class_order: `label` or `shuffled`: how classes are dealt out to parts.
        class_seed: of the shuffle.
        label_noise: share of the training labels that is replaced by wrong ones; validation and test labels stay right.
        noise_seed: of the wrong labels.
        side: height and width of streamed images, 0: those of the registry; others have the size they have.
        mean: per channel, instead of what is customary or is found.
        std: likewise.
        image_size: side of images that are named by their place; 0: all have one size, and keep it.
        stream: whether they are streamed; None: if they take more than 4 GB once decoded.

    Raises:
        ConfigError: an unknown name, or a number or part that cannot be.
        DataError: the data is missing, damaged or not what its name says; the message says how to mend it.

    Example:
        >>> from jaxticket import data
        >>> digits = data.load("digits")
        >>> digits.train.images.shape, digits.val.size, digits.test.size
        ((1293, 8, 8, 1), 144, 360)
    """
    own, place = None, data_folder(folder)
    if scheme_of(name):
        own = own_data(name, place, image_size=image_size, stream=stream, download=download)
    spec = own.spec if own else registry.spec(name)
    train_size, val_size, _ = spec.split_sizes(val_fraction)
    if val_seed < 0:
        raise ConfigError(f"val_seed={val_seed!r}: must be at least 0")
    if not 0 < train_fraction <= 1 or not round(train_fraction * train_size):
        raise ConfigError(f"train_fraction={train_fraction!r}: must be in (0, 1] and leave an image to train on")
    if label_noise and not spec.one_class_each:
        raise ConfigError(f"label_noise={label_noise!r}: the images of {name} do not have one class each; set it to 0")
    if not 0 <= label_noise <= 1:
        raise ConfigError(f"label_noise={label_noise!r}: must be at least 0 and at most 1")
    check_parts(spec, part)
    if spec.val_size:
        train_rows, val_rows = np.arange(spec.train_size), np.arange(val_size)
    else:
        train_rows, val_rows = validation_split(spec.train_size, val_size, val_seed)
    used_rows = train_rows[: round(train_fraction * train_size)]
    index, parts = parse_part(part)
    classes = class_parts(spec.num_classes, parts, class_seed if class_order == "shuffled" else None)[index]
    if spec.stream:
        sources = OwnStreams(own) if own else PreparedStreams(spec, place)
        found = open_streams(sources, used_rows, val_rows, side or spec.image_shape[0], classes)
        return dataclasses.replace(found, mean=mean or spec.mean, std=std or spec.std)
    official = own.splits if own else find.official_splits(spec, place, download=download)
    # Where every row is used the arrays stay as they are, mapped and not copied.
    train = official["train"] if len(train_rows) == spec.train_size else _rows(official["train"], train_rows)
    if not (mean and std):
        found = (spec.mean, spec.std) if spec.mean else channel_statistics(train.images)
        mean, std = mean or found[0], std or found[1]
    used = train if len(used_rows) == len(train_rows) else _rows(official["train"], used_rows)
    if label_noise:
        used = Split(used.images, noisy_labels(used.labels, label_noise, spec.num_classes, noise_seed))
    splits = [used, _rows(official["val" if spec.val_size else "train"], val_rows), official["test"]]
    if parts > 1:
        splits = [take_classes(split, classes) for split in splits]
    return Dataset(
        name,
        *(_read_only(split) for split in splits),
        num_classes=len(classes),
        class_names=tuple(spec.class_names[label] for label in classes) if parts > 1 else spec.class_names,
        mean=mean,
        std=std,
        content=own.content if own else "" if registry.is_vouched_for(name) else content_digest(official),
        targets=spec.targets,
        target_shape=spec.target_shape,
    )


def _rows(split: Split, rows: np.ndarray) -> Split:
    return Split(split.images[rows], split.labels[rows])


def _read_only(split: Split) -> Split:
    """The same arrays, plain and write-protected."""

    def protect(array: np.ndarray) -> np.ndarray:
        view = array.view(np.ndarray)
        view.flags.writeable = False
        return view

    return Split(protect(split.images), protect(split.labels))
