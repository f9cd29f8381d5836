"""The labels of a streamed data set, which say what belongs to a part of its classes: read once, then kept.

They live in `<folder>/cache/<name>-<version>/<split>_stream_labels.npy` next to a file of its size and checksum.
"""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from jaxticket.data.cache import cache_folder, size_and_checksum, write_array
from jaxticket.data.sources.tfds_folder import PreparedSource
from jaxticket.data.specs import DatasetSpec
from jaxticket.storage.files import replacing

_log = logging.getLogger(__name__)
_BLOCK = 4096
_THREADS = 16


def have_labels(spec: DatasetSpec, folder: Path) -> bool:
    """Whether the labels of both official splits are kept; whether they are undamaged is seen when they are read."""
    return all(check.is_file() for split in spec.official_sizes for _, check in [_files(spec, folder, split)])


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


def _files(spec: DatasetSpec, folder: Path, split: str) -> tuple[Path, Path]:
    """The array, and what it has to be."""
    array = cache_folder(spec, folder) / f"{split}_stream_labels.npy"
    return array, array.with_suffix(".json")


def _read(spec: DatasetSpec, folder: Path, split: str, size: int) -> np.ndarray | None:
    array, check = _files(spec, folder, split)
    if not check.is_file():
        return None
    try:
        if json.loads(check.read_text()) != size_and_checksum(array):
            raise ValueError("it does not match its checksum")
        labels = np.load(array, allow_pickle=False)
        if labels.shape != (size,) or labels.dtype != np.int32:
            raise ValueError(f"it has shape {labels.shape} and type {labels.dtype}")
    except (OSError, ValueError, RecursionError) as error:
        _log.warning("%s: is damaged (%s) and is written again", array, error)
        return None
    return labels


def _keep(spec: DatasetSpec, folder: Path, split: str, labels: np.ndarray) -> None:
    array, check = _files(spec, folder, split)
    try:
        array.parent.mkdir(parents=True, exist_ok=True)
        found = write_array(array, labels)
        with replacing(check) as temporary:
            temporary.write_text(json.dumps(found))
    except OSError as error:
        _log.warning("%s: cannot be kept (%s); labels are read again each time", array, error)
