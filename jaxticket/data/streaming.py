"""Splits too large for memory: encoded images on disk, decoded and cropped as they are needed.

An epoch is a permutation, as it is for arrays in memory, and a batch is found by its number alone: what a run must
remember to continue at any step is again the seed, the epoch and the position. Each of several processes takes its part
of every batch, so that the batches, and every image's random crop, do not depend on how many processes there are. Order
and reading are Grain's.
"""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jaxticket.core.errors import ConfigError, DataError
from jaxticket.data.decoding import centre_crop, crop_at_random, decode_colour
from jaxticket.data.registry import is_vouched_for
from jaxticket.data.sources.find import missing_message
from jaxticket.data.sources.tfds_folder import PreparedSource, find_prepared, folder_digest, prepared_source
from jaxticket.data.specs import DatasetSpec
from jaxticket.data.splits import Dataset, Split
from jaxticket.data.stream_labels import stream_labels
from jaxticket.data.subsets import labels_within


class Source(Protocol):
    """Random access to images and their labels, from several threads at once."""

    def __getitem__(self, row: int, /) -> tuple[bytes | np.ndarray, int]:
        """An image file, or its pixels uint8 [H, W, 3]; and a label."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """A split of encoded images with random access.

    Attributes:
        source: row -> (image, label).
        rows: which rows of the source belong to the split, int64 [N].
        side: height and width of the decoded images.
        threads: that read and decode.
    """

    source: Source
    rows: np.ndarray
    side: int
    threads: int = 16

    @property
    def size(self) -> int:
        """The number of images."""
        return len(self.rows)

    def epoch(
        self, batch_size: int, *, seed: int, first: int = 0, process: tuple[int, int] = (0, 1)
    ) -> Iterator[Split]:
        """The full training batches of one epoch, from the batch `first` on; what fills no batch is left out.

        Args:
            batch_size: of all processes together.
            seed: of order and crops, a number of 32 bits; another one for every epoch.
            first: how many batches to skip, without reading them.
            process: (index, count): every batch is divided into `count` parts, this process gets the part `index`.

        Returns:
            An iterator over splits of uint8 images [batch_size // count, side, side, 3] and int32 labels.

        Raises:
            ConfigError: the batch is larger than the split, or cannot be divided among the processes.
            DataError: while iterating, an image cannot be decoded.
        """
        if batch_size > self.size:
            raise ConfigError(f"batch_size={batch_size}: must be at most the {self.size} training images")
        ordered = self._images().shuffle(seed=seed)
        cropped = ordered.random_map(_RandomCrop(self.side), seed=seed)
        return self._batches(cropped, batch_size, range(first, self.size // batch_size), process)

    def in_order(self, batch_size: int, *, process: tuple[int, int] = (0, 1)) -> Iterator[Split]:
        """Every image once, in order, cropped in the middle; the last batch may hold fewer images, or none."""
        cropped = self._images().map(_CentreCrop(self.side))
        return self._batches(cropped, batch_size, range(math.ceil(self.size / batch_size)), process)

    def _images(self) -> Any:
        grain = _grain()
        return grain.MapDataset.source(_Rows(self.source, self.rows))

    def _batches(self, images: Any, batch_size: int, numbers: range, process: tuple[int, int]) -> Iterator[Split]:
        index, count = process
        if batch_size % count:
            raise ConfigError(f"batch_size={batch_size}: must be a multiple of the {count} processes")
        part, every = batch_size // count, np.arange(self.size)
        parts = [every[first : first + part] for first in (number * batch_size + index * part for number in numbers)]
        own = _grain().MapDataset.source(_Rows(images, np.concatenate([every[:0], *parts])))
        options = _grain().ReadOptions(num_threads=self.threads, prefetch_buffer_size=4 * part)
        iterator = iter(own.to_iter_dataset(options))
        for rows in parts:
            examples = [next(iterator) for _ in rows]
            pixels = np.empty((len(examples), self.side, self.side, 3), np.uint8)
            for row, (image, _) in enumerate(examples):
                pixels[row] = image
            yield Split(pixels, np.array([label for _, label in examples], np.int32))


class StreamSources(Protocol):
    """The official splits of a data set that is streamed."""

    spec: DatasetSpec
    content: str

    def source(self, split: str) -> Source:
        """The images of a split."""
        ...

    def labels(self, split: str) -> np.ndarray:
        """The label of every row of it, int32 [N]."""
        ...


class PreparedStreams:
    """The splits of the folder that `jaxticket data prepare` or TensorFlow Datasets wrote.

    Args:
        spec: the data set.
        folder: where data sets live.

    Raises:
        DataError: the folder is missing or not in the ArrayRecord format.
        ConfigError: Grain or OpenCV is not installed.
    """

    def __init__(self, spec: DatasetSpec, folder: Path) -> None:
        _grain()
        prepared = find_prepared(spec, folder)
        if prepared is None:
            raise DataError(missing_message(spec, folder))
        self.spec, self._folder, self._prepared = spec, folder, prepared
        self.content = "" if is_vouched_for(spec.name) else folder_digest(prepared)

    def source(self, split: str) -> PreparedSource:
        """Its images, as they are encoded."""
        return prepared_source(self.spec, self._prepared, split)

    def labels(self, split: str) -> np.ndarray:
        """Its labels, which are read once."""
        return stream_labels(self.spec, self._folder, split, self.source(split))


def open_streams(
    sources: StreamSources, train_rows: np.ndarray, val_rows: np.ndarray, side: int, classes: np.ndarray
) -> Dataset:
    """A streamed data set.

    Args:
        sources: its official splits.
        train_rows: rows of the official training images to train on.
        val_rows: those to validate on, of the official validation images where there are some.
        side: height and width of the images for the network.
        classes: the labels whose images belong to the data set, and what they are called in it: 0, 1, ...

    Raises:
        ConfigError: Grain or OpenCV is not installed.
    """
    _grain()
    spec, splits = sources.spec, []
    val = "val" if spec.val_size else "train"
    for split, rows in (("train", train_rows), (val, val_rows), ("test", np.arange(spec.test_size))):
        source = sources.source(split)
        if len(classes) < spec.num_classes:
            within = labels_within(classes, spec.num_classes)
            rows = rows[within[sources.labels(split)[rows]] >= 0]
            splits.append(Stream(_Relabelled(source, within), rows, side))
        else:
            splits.append(Stream(source, rows, side))
    return Dataset(
        spec.name,
        *splits,
        num_classes=len(classes),
        class_names=tuple(spec.class_names[label] for label in classes),
        mean=spec.mean,
        std=spec.std,
        content=sources.content,
    )


@dataclasses.dataclass(frozen=True)
class _Relabelled:
    """A source whose labels are those of a part of its classes."""

    source: Source
    within: np.ndarray

    def __getitem__(self, row: int) -> tuple[bytes | np.ndarray, int]:
        image, label = self.source[row]
        return image, int(self.within[label])


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Some rows of a source, or some examples of a data set of Grain's, as Grain wants them."""

    source: Any
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.source[int(self.rows[index])]


@dataclasses.dataclass(frozen=True)
class _CentreCrop:
    side: int

    def __call__(self, example: tuple[bytes | np.ndarray, int]) -> tuple[np.ndarray, int]:
        encoded, label = example
        return centre_crop(decode_colour(encoded), self.side), label


@dataclasses.dataclass(frozen=True)
class _RandomCrop:
    side: int

    def __call__(self, example: tuple[bytes | np.ndarray, int], rng: np.random.Generator) -> tuple[np.ndarray, int]:
        encoded, label = example
        return crop_at_random(decode_colour(encoded), self.side, rng), label


def _grain() -> Any:
    try:
        import cv2  # noqa: F401
        import grain
    except ImportError as error:
        raise ConfigError(
            f"config.data.name: streamed data sets need {error.name}, which is not installed; "
            "run `pip install grain opencv-python-headless`"
        ) from error
    return grain
