"""Where a data set comes from: its sources by preference, a decoded copy, and what to say without one."""

import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxticket.core.checks import shown
from jaxticket.core.errors import DataError
from jaxticket.data.cache import read_cache, write_cache
from jaxticket.data.sources.archives import READERS, own_folder, read_archives
from jaxticket.data.sources.digits import read_digits
from jaxticket.data.sources.download import fetch_archives
from jaxticket.data.sources.tfds_folder import read_prepared
from jaxticket.data.specs import DatasetSpec, Source
from jaxticket.data.splits import Split

# Each gives the official splits, or None where it has nothing; damaged data is a DataError, never skipped.
SOURCES: dict[str, Source] = {
    "vendored": lambda spec, folder: read_digits(),
    "tfds": read_prepared,
    **dict.fromkeys(READERS, read_archives),
}


def official_splits(spec: DatasetSpec, folder: Path, *, download: bool = False) -> dict[str, Split]:
    """The official splits `train` and `test` of a data set, always in the same order.

    A decoded copy is used where there is one. Else the sources of `spec` are tried in order, once more
    after a download if that was asked for and nothing was found, and a decoded copy is kept.

    Args:
        spec: the data set.
        folder: where data sets live; see `loading.data_folder`.
        download: whether the network may be used.

    Raises:
        DataError: the data is missing, damaged or not what its name says.
    """
    if spec.stream:
        raise DataError(
            f"{spec.name} is too large to be kept in memory; it is streamed from the folder that "
            f"`{prepare_command(spec, folder)}` writes"
        )
    try:
        return _official_splits(spec, folder, download)
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be searched for {spec.name} ({error}); choose another folder with "
            "--config.data.folder or JAXTICKET_DATA"
        ) from error


def _official_splits(spec: DatasetSpec, folder: Path, download: bool) -> dict[str, Split]:
    vendored = not spec.archives
    splits = None if vendored else read_cache(spec, folder)
    if splits is not None:
        return splits
    splits = _from_sources(spec, folder)
    if splits is None and download and spec.url:
        fetch_archives(spec, folder)
        splits = _from_sources(spec, folder)
    if splits is None:
        raise DataError(missing_message(spec, folder))
    if not vendored:
        write_cache(spec, folder, splits)
    return splits


def missing_message(spec: DatasetSpec, folder: Path) -> str:
    """One line: what is missing, how large it is, and every way to get it."""
    size = size_text(spec.download_bytes)
    files = ", ".join(archive.name for archive in spec.archives) + (f" ({size} in all)" if size else "")
    ways = [] if spec.stream else [f"put {files} into {own_folder(spec, folder)}"]
    if spec.debian_package:
        ways.append(f"install Debian's {spec.debian_package}")
    ways.append((f"get {files} and " if spec.stream else "") + f"run `{prepare_command(spec, folder)}`")
    if spec.url:
        ways.append(f"let {size} be downloaded with --config.data.download=True (in Python: download=True)")
    access = f"; {spec.access}" if spec.access else ""
    return f"{spec.name} is not on this machine: {', or '.join(ways)}{access}"


def prepare_command(spec: DatasetSpec, folder: Path) -> str:
    """The command that turns archives of `spec`, wherever they lie, into a folder of TensorFlow Datasets."""
    return f"jaxticket data prepare {spec.name} --archive PATH --folder {shlex.quote(str(folder))}"


def size_text(size: int) -> str:
    """Bytes as people say them, such as `11.6 MB`; empty for 0."""
    if not size:
        return ""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _from_sources(spec: DatasetSpec, folder: Path) -> dict[str, Split] | None:
    for source, read in zip(spec.sources, readers(spec), strict=True):
        splits = read(spec, folder)
        if splits is not None:
            check_splits(spec, source if isinstance(source, str) else source.__name__, splits)
            return dict(splits)
    return None


def readers(spec: DatasetSpec) -> list[Source]:
    """The functions that the sources of a data set are, in their order."""
    return [SOURCES[source] if isinstance(source, str) else source for source in spec.sources]


def check_splits(spec: DatasetSpec, source: str, splits: Mapping[str, Split]) -> None:
    """Refuses data that does not fit its spec.

    Raises:
        DataError: naming the data set and its source, what was found and what was expected.
    """
    where = f"{spec.name} ({source})"
    if not isinstance(splits, Mapping) or not splits.keys() >= spec.official_sizes.keys():
        gave = shown(list(splits) if isinstance(splits, Mapping) else splits)
        raise DataError(
            f"{where}: gave {gave}; a source gives a dictionary of the splits {', '.join(spec.official_sizes)}, or None"
        )
    for name, size in spec.official_sizes.items():
        shapes, kind = [(size, *spec.image_shape), spec.labels_shape(size)], np.dtype(spec.labels_dtype)
        found = splits[name] if isinstance(splits[name], tuple) else ()
        arrays = [part for part in found if isinstance(part, np.ndarray)]
        fits = len(found) == 2 and [part.shape for part in arrays] == shapes and arrays[0].dtype == np.uint8
        if not fits or not (arrays[1].dtype == kind or (kind == np.int32 and arrays[1].dtype.kind in "iu")):
            raise DataError(
                f"{where}: the split {name!r} has {_described(splits[name])}; expected images uint8 {shapes[0]} and "
                f"labels {kind} {shapes[1]}"
            )
        labels = splits[name][1]
        if spec.targets == "values":
            if not np.isfinite(labels).all():
                raise DataError(f"{where}: the split {name!r} has labels that are no numbers; expected finite float32")
        elif labels.min() < 0 or labels.max() >= spec.num_classes:
            raise DataError(
                f"{where}: the split {name!r} has labels from {labels.min()} to {labels.max()}, expected 0 to "
                f"{spec.num_classes - 1}"
            )


def _described(split: object) -> str:
    """The types and shapes of what a reader gave for a split."""
    if not isinstance(split, tuple) or len(split) != 2:
        return f"{shown(split)}, which is no data.Split(images, labels)"
    types = [f"{part.dtype} {part.shape}" if isinstance(part, np.ndarray) else shown(part) for part in split]
    return f"images {types[0]} and labels {types[1]}"
