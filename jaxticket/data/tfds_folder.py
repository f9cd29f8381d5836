"""Data sets prepared by TensorFlow Datasets, as ArrayRecord or TFRecord files, read without TensorFlow."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from jaxticket.core.errors import DataError
from jaxticket.data.dataset import Split
from jaxticket.data.registry import DatasetSpec
from jaxticket.data.tfrecord import read_records


def read_prepared(spec: DatasetSpec, folder: Path) -> dict[str, Split] | None:
    """The official splits from `<name>/<version>/` in `folder`, $TFDS_DATA_DIR or `~/tensorflow_datasets`.

    Returns:
        The splits `train` and `test`, or None where there is no such folder.

    Raises:
        DataError: there is one, but it is damaged or does not hold this data set.
    """
    for root in (folder, os.environ.get("TFDS_DATA_DIR"), "~/tensorflow_datasets"):
        if not root:
            continue
        prepared = Path(root).expanduser() / spec.name / spec.version
        if all((prepared / file).is_file() for file in ("dataset_info.json", "features.json")):
            return _read(spec, prepared)
    return None


def _read(spec: DatasetSpec, prepared: Path) -> dict[str, Split]:
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder_from_directory(prepared)
        return {name: _read_split(spec, builder, name) for name in spec.official_sizes}
    except DataError:
        raise
    # Whatever a foreign or damaged file makes the readers below raise, it is the folder that is wrong.
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"{prepared}: cannot be read as {spec.name} ({reason}); remove the folder or prepare it again"
        ) from error


def _read_split(spec: DatasetSpec, builder: Any, name: str) -> Split:
    import tensorflow_datasets as tfds

    records = _records(builder, name)
    if len(records) != spec.official_sizes[name]:
        raise DataError(
            f"{builder.data_dir}: the split {name!r} holds {len(records):,} examples, {spec.name} has "
            f"{spec.official_sizes[name]:,}; remove the folder or prepare it again"
        )
    images = np.empty((len(records), *spec.image_shape), np.uint8)
    labels = np.empty(len(records), np.int32)
    decoders = {"image": tfds.decode.SkipDecoding()}
    for row, record in enumerate(records):
        example = builder.info.features.deserialize_example_np(record, decoders=decoders)
        images[row] = _decode(example["image"], spec.image_shape)
        labels[row] = example["label"]
    return Split(images, labels)


def _records(builder: Any, split: str) -> list[bytes]:
    """The serialised examples of a split, in the order in which they were written."""
    import tensorflow_datasets as tfds

    if builder.info.file_format is tfds.core.FileFormat.TFRECORD:
        paths = builder.info.splits[split].filepaths
        return [record for path in paths for record in read_records(Path(path))]
    source = builder.as_data_source(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
    return list(source.__getitems__(range(len(source)))) if len(source) else []


def _decode(encoded: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """The pixels of an image file, uint8 of `shape`; its mode, grey or colour, must fit the shape."""
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as image:
        pixels = np.asarray(image)
    grey = pixels.ndim == 2 and shape[2] == 1
    if pixels.dtype != np.uint8 or (pixels[..., None] if grey else pixels).shape != shape:
        raise ValueError(f"an image has shape {pixels.shape} and type {pixels.dtype}, expected uint8 {shape}")
    return pixels.reshape(shape)
