"""Data sets prepared by TensorFlow Datasets, as ArrayRecord or TFRecord files, read without TensorFlow."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from jaxticket.core.errors import DataError
from jaxticket.data.sources.records import decode
from jaxticket.data.sources.tfrecord import read_records
from jaxticket.data.specs import DatasetSpec
from jaxticket.data.splits import Split

_END = 1 << 16


def own_prepared_folder(spec: DatasetSpec, folder: Path) -> Path:
    """Where a prepared copy of `spec` belongs in a folder of data sets: `<name>/<version>` or `<name>/<config>/...`."""
    return folder / spec.prepared_name / spec.version


def find_prepared(spec: DatasetSpec, folder: Path) -> Path | None:
    """The finished folder of `spec` in `folder`, $TFDS_DATA_DIR or `~/tensorflow_datasets`, whichever is first."""
    for root in (folder, os.environ.get("TFDS_DATA_DIR"), "~/tensorflow_datasets"):
        if not root:
            continue
        prepared = own_prepared_folder(spec, Path(root).expanduser())
        if all((prepared / file).is_file() for file in ("dataset_info.json", "features.json")):
            return prepared
    return None


def read_prepared(spec: DatasetSpec, folder: Path) -> dict[str, Split] | None:
    """The official splits from the folder that `find_prepared` finds.

    Returns:
        The splits `train` and `test`, or None where there is no such folder.

    Raises:
        DataError: there is one, but it is damaged or does not hold this data set.
    """
    prepared = find_prepared(spec, folder)
    return None if prepared is None else _read(spec, prepared)


def folder_digest(prepared: Path) -> str:
    """Twelve hexadecimal digits for a folder too large to be read: names and sizes of files, and their ends."""
    digest = hashlib.sha256()
    for path in sorted(path for path in prepared.rglob("*") if path.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(prepared).as_posix()} {size}".encode())
        with path.open("rb") as file:
            digest.update(file.read(_END))
            file.seek(max(size - _END, 0))
            digest.update(file.read(_END))
    return digest.hexdigest()[:12]


def prepared_source(spec: DatasetSpec, prepared: Path, split: str) -> "PreparedSource":
    """The encoded images of one official split, to be read one by one in any order.

    Args:
        spec: the data set.
        prepared: its folder, from `find_prepared`.
        split: `train` or `test`.

    Raises:
        DataError: the folder is damaged, not in the ArrayRecord format, or does not hold this data set.
    """
    import tensorflow_datasets as tfds

    with _refusing(spec, prepared):
        builder: Any = tfds.builder_from_directory(prepared)
        if builder.info.file_format is not tfds.core.FileFormat.ARRAY_RECORD:
            raise DataError(
                f"{prepared}: is in the format {builder.info.file_format.value}, which cannot be read in any order; "
                "prepare it with jaxticket data prepare, in another folder"
            )
        decoders = {"image": tfds.decode.SkipDecoding()}
        source = PreparedSource(builder.as_data_source(spec.tfds_split(split), decoders=decoders), spec.label_key)
        _check_size(spec, prepared, split, len(source))
        return source


class PreparedSource(Sequence[tuple[bytes, int]]):
    """Row -> (encoded image, label); may be read from several threads."""

    def __init__(self, source: Any, label_key: str) -> None:
        self._source = source
        self._label_key = label_key

    def __len__(self) -> int:
        return len(self._source)

    @overload
    def __getitem__(self, index: int) -> tuple[bytes, int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[bytes, int]]: ...
    def __getitem__(self, index: int | slice) -> tuple[bytes, int] | list[tuple[bytes, int]]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        example = self._source[index]
        return example["image"], int(example[self._label_key])

    def label(self, row: int) -> int:
        """The label of a row."""
        return self[row][1]


def _read(spec: DatasetSpec, prepared: Path) -> dict[str, Split]:
    import tensorflow_datasets as tfds

    with _refusing(spec, prepared):
        builder: Any = tfds.builder_from_directory(prepared)
        return {name: _read_split(spec, prepared, builder, name) for name in spec.official_sizes}


@contextlib.contextmanager
def _refusing(spec: DatasetSpec, prepared: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    # Whatever a foreign or damaged file makes the readers below raise, it is the folder that is wrong.
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{prepared}: cannot be read as {spec.name} ({reason}); remove the folder and prepare it again"
        ) from error


def _check_size(spec: DatasetSpec, prepared: Path, split: str, size: int) -> None:
    if size != spec.official_sizes[split]:
        raise DataError(
            f"{prepared}: the split {split!r} holds {size:,} examples, {spec.name} has "
            f"{spec.official_sizes[split]:,}; remove the folder and prepare it again"
        )


def _read_split(spec: DatasetSpec, prepared: Path, builder: Any, name: str) -> Split:
    import tensorflow_datasets as tfds

    records = _records(builder, spec.tfds_split(name))
    _check_size(spec, prepared, name, len(records))
    images = np.empty((len(records), *spec.image_shape), np.uint8)
    labels = np.empty(len(records), np.int32)
    decoders = {"image": tfds.decode.SkipDecoding()}
    for row, record in enumerate(records):
        example = builder.info.features.deserialize_example_np(record, decoders=decoders)
        images[row] = decode(example["image"], spec)
        labels[row] = example[spec.label_key]
    return Split(images, labels)


def _records(builder: Any, split: str) -> list[bytes]:
    """The serialised examples of a split, in the order in which they were written."""
    import tensorflow_datasets as tfds

    if builder.info.file_format is tfds.core.FileFormat.TFRECORD:
        paths = builder.info.splits[split].filepaths
        return [record for path in paths for record in read_records(Path(path))]
    source = builder.as_data_source(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
    return list(source.__getitems__(range(len(source)))) if len(source) else []
