"""Decoded copies of data sets: one uncompressed `.npy` file per array, mapped into memory instead of read.

They live in `<folder>/cache/<name>-<version>/`, a slash of the name turned into a dash; of data of one's own the name
is that of its scheme. `manifest.json` has
the size and checksum of every array and is written last, so a copy without it is an unfinished one.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxticket.core.errors import TicketError
from jaxticket.data.specs import DatasetSpec
from jaxticket.data.splits import Split
from jaxticket.storage.files import replacing
from jaxticket.storage.manifest import MANIFEST, load_manifest, write_manifest

_log = logging.getLogger(__name__)


def cache_folder(spec: DatasetSpec, folder: Path) -> Path:
    """Where the decoded copy of `spec` lives."""
    return copy_folder(spec.name, spec.version, folder)


def copy_folder(name: str, version: str, folder: Path) -> Path:
    """The same of a data set of which only this is known."""
    return folder / "cache" / f"{name.partition(':')[0].replace('/', '-')}-{version}"


def has_cache(spec: DatasetSpec, folder: Path) -> bool:
    """Whether there is a finished decoded copy; whether it is undamaged is seen when it is read."""
    return (cache_folder(spec, folder) / MANIFEST).is_file()


def read_cache(spec: DatasetSpec, folder: Path) -> dict[str, Split] | None:
    """The official splits as arrays mapped read-only from the decoded copy.

    Returns:
        The splits `train` and `test`, or None where there is no copy. None too, with a warning in the log,
        where there is a damaged one.
    """
    cache = cache_folder(spec, folder)
    if not has_cache(spec, folder):
        return None
    try:
        return _read(spec, cache)
    except (OSError, ValueError, EOFError, TicketError) as error:
        _log.warning("%s: the decoded copy is damaged (%s) and is written again", cache, error)
        return None


def write_cache(
    spec: DatasetSpec, folder: Path, splits: dict[str, Split], facts: Mapping[str, Any] | None = None
) -> None:
    """Keeps a decoded copy, and facts about it; what cannot be written is only a warning in the log.

    Every file is written under another name and then renamed, and all writers write the same bytes, so
    several processes may do this at once, and a reader never sees half a file.
    """
    cache = cache_folder(spec, folder)
    files = []
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for split, arrays in splits.items():
            for part, array in zip(Split._fields, arrays, strict=True):
                files.append(f"{split}_{part}.npy")
                write_array(cache / files[-1], array)
        write_manifest(cache, files, facts or {})
    except (OSError, TicketError) as error:
        _log.warning("%s: no decoded copy could be kept (%s); decoding is repeated each time", cache, error)


def _read(spec: DatasetSpec, cache: Path) -> dict[str, Split]:
    load_manifest(cache)  # raises where a file is not as it was
    splits = {}
    for split, size in spec.official_sizes.items():
        expected = {
            "images": ((size, *spec.image_shape), np.uint8),
            "labels": (spec.labels_shape(size), spec.labels_dtype),
        }
        arrays = []
        for part, (shape, dtype) in expected.items():
            path = cache / f"{split}_{part}.npy"
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(f"{path.name} has shape {array.shape} and type {array.dtype}")
            arrays.append(array)
        splits[split] = Split(*arrays)
    return splits


def write_array(path: Path, array: np.ndarray) -> None:
    """Writes an array to `path`, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
