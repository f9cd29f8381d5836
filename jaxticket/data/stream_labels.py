"""The labels of a streamed data set, which say what belongs to a part of its classes: read once, then kept.

They live in `<folder>/cache/<name>-<version>/<split>_labels/`, next to a manifest.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from jaxticket.core.errors import TicketError
from jaxticket.data.cache import cache_folder, write_array
from jaxticket.data.sources.tfds_folder import PreparedSource
from jaxticket.data.specs import DatasetSpec
from jaxticket.storage.manifest import MANIFEST, load_manifest, write_manifest

_log = logging.getLogger(__name__)
_FILE = "labels.npy"
_BLOCK = 4096
_THREADS = 16


def have_labels(spec: DatasetSpec, folder: Path) -> bool:
    """Whether the labels of both official splits are kept; whether they are undamaged is seen when they are read."""
    return all((_folder(spec, folder, split) / MANIFEST).is_file() for split in spec.official_sizes)


def stream_labels(spec: DatasetSpec, folder: Path, split: str, source: PreparedSource) -> np.ndarray:
    """The label of every row of an official split, int32 [N].

    The first time every record is read, for there is no index of labels: as long as one epoch's reading takes.

    Args:
        spec: the data set.
        folder: where data sets and what was read of them are kept.
        split: `train` or `test`.
        source: of the split.

    Raises:
        DataError: a record is damaged.
    """
    kept = _read(spec, folder, split, len(source))
    if kept is not None:
        return kept
    _log.info("%s: reading the %d labels of %s, once", spec.name, len(source), split)
    labels = np.empty(len(source), np.int32)
    with ThreadPoolExecutor(_THREADS) as readers:
        for first in range(0, len(source), _BLOCK):
            rows = range(first, min(first + _BLOCK, len(source)))
            labels[rows.start : rows.stop] = list(readers.map(source.label, rows))
    _keep(spec, folder, split, labels)
    return labels


def _folder(spec: DatasetSpec, folder: Path, split: str) -> Path:
    return cache_folder(spec, folder) / f"{split}_labels"


def _read(spec: DatasetSpec, folder: Path, split: str, size: int) -> np.ndarray | None:
    place = _folder(spec, folder, split)
    try:
        if load_manifest(place) is None:
            return None
        labels = np.load(place / _FILE, allow_pickle=False)
        if labels.shape != (size,) or labels.dtype != np.int32:
            raise ValueError(f"it has shape {labels.shape} and type {labels.dtype}")
    except (OSError, ValueError, TicketError) as error:
        _log.warning("%s: is damaged (%s) and is written again", place, error)
        return None
    return labels


def _keep(spec: DatasetSpec, folder: Path, split: str, labels: np.ndarray) -> None:
    place = _folder(spec, folder, split)
    try:
        place.mkdir(parents=True, exist_ok=True)
        write_array(place / _FILE, labels)
        write_manifest(place, [_FILE], {})
    except (OSError, TicketError) as error:
        _log.warning("%s: cannot be kept (%s); labels are read again each time", place, error)
