"""From a name to a data set in memory."""

import os
from pathlib import Path

import numpy as np

from jaxticket.core.errors import ConfigError
from jaxticket.data import registry, sources
from jaxticket.data.dataset import Dataset, Split, channel_statistics, validation_split


def load(
    name: str,
    *,
    folder: str | os.PathLike[str] | None = None,
    download: bool = False,
    val_fraction: float = 0.1,
    val_seed: int = 0,
) -> Dataset:
    """The data set `name`, with a validation split taken from its official training images.

    The order of the images, and so which of them are kept for validation, does not depend on where they were
    found. `digits`, which comes with the package, has no official test split; its last 360 images in a fixed
    permutation are the test split, the other 1,437 the official training images.

    Args:
        name: a registered name; `names()` lists them.
        folder: where data sets are looked for and decoded copies are kept; None or empty: the environment
            variable JAXTICKET_DATA, else `~/.cache/jaxticket/data`.
        download: whether missing archives may be fetched from their public address; nothing is fetched else.
        val_fraction: share of the official training images kept for validation, in [0, 1).
        val_seed: which ones, at least 0.

    Raises:
        ConfigError: an unknown name, or a fraction or seed that is out of range.
        DataError: the data is missing, damaged or not what its name says; the message says how to mend it.
    """
    spec = registry.spec(name)
    _, val_size, _ = spec.split_sizes(val_fraction)
    if val_seed < 0:
        raise ConfigError(f"val_seed={val_seed!r}: must be at least 0")
    official = sources.official_splits(spec, data_folder(folder), download=download)
    train_rows, val_rows = validation_split(spec.train_size, val_size, val_seed)
    # Without a validation split the arrays stay as they are, mapped and not copied.
    train = _rows(official["train"], train_rows) if val_size else official["train"]
    mean, std = channel_statistics(train.images)
    return Dataset(
        name=name,
        train=_read_only(train),
        val=_read_only(_rows(official["train"], val_rows)),
        test=_read_only(official["test"]),
        num_classes=spec.num_classes,
        class_names=spec.class_names,
        mean=mean,
        std=std,
    )


def data_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """The folder of data sets, absolute: as given, else JAXTICKET_DATA, else `~/.cache/jaxticket/data`."""
    chosen = folder or os.environ.get("JAXTICKET_DATA") or "~/.cache/jaxticket/data"
    return Path(chosen).expanduser().absolute()


def _rows(split: Split, rows: np.ndarray) -> Split:
    return Split(split.images[rows], split.labels[rows])


def _read_only(split: Split) -> Split:
    """The same arrays, plain and write-protected."""

    def protect(array: np.ndarray) -> np.ndarray:
        view = array.view(np.ndarray)
        view.flags.writeable = False
        return view

    return Split(protect(split.images), protect(split.labels))
