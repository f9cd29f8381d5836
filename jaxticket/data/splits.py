"""A data set in memory, the seeded validation split, and the statistics that images are normalised with."""

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np


class SplitLike(Protocol):
    """Labelled images, in memory or not."""

    @property
    def size(self) -> int:
        """The number of images."""
        ...


class Split(NamedTuple):
    """Labelled images.

    Attributes:
        images: uint8 [N, height, width, channels].
        labels: int32 [N, ...], each in [0, number of classes); or float32 [N, ..., outputs], numbers.
    """

    images: np.ndarray
    labels: np.ndarray

    @property
    def size(self) -> int:
        """The number of images."""
        return len(self.labels)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set, split and ready to be put on a device; its arrays are read-only.

    The splits are arrays in memory (`Split`), or all three `streaming.Stream`s where the images are too many.

    Attributes:
        name: its registered name.
        train: what is left of the official training images after validation was taken away.
        val: the validation images, possibly none.
        test: the test images.
        num_classes: labels are 0 to `num_classes - 1`; of numbers, how many outputs there are.
        class_names: by label.
        mean: per channel, of pixels divided by 255: the customary constant of the data set, or else that of its
            training images.
        std: per channel, the standard deviation of the same.
        content: a digest of all official images and labels; empty where published checksums vouch for them.
        targets: what labels are, `classes` or `values`.
        target_shape: of the labels of one image, such as (height, width) of those of its pixels; empty for one label.
    """

    name: str
    train: SplitLike
    val: SplitLike
    test: SplitLike
    num_classes: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    content: str = ""
    targets: str = "classes"
    target_shape: tuple[int, ...] = ()


def content_digest(splits: Mapping[str, Split]) -> str:
    """Twelve hexadecimal digits for the images and labels of splits, by name."""
    digest = hashlib.sha256()
    for name in sorted(splits):
        for array in splits[name]:
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            for first in range(0, len(array), 4096):  # mapped arrays are never in memory as a whole
                digest.update(np.ascontiguousarray(array[first : first + 4096]).data)
    return digest.hexdigest()[:12]


def permutation(n: int, seed: int) -> np.ndarray:
    """A seeded permutation of `0 .. n-1`, int64 [n], the same for ever.

    It ranks the raw 64-bit output of PCG64, a stream that NumPy promises to keep (NEP 19); what
    `Generator.permutation` makes of such a stream may change between releases.
    """
    return np.argsort(np.random.PCG64(seed).random_raw(n), kind="stable")


def validation_split(n: int, val_size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of `n` training images are kept for validation.

    Args:
        n: number of official training images.
        val_size: how many to keep for validation.
        seed: of the permutation; its first `val_size` entries are the validation images, so that a larger
            split contains a smaller one of the same seed.

    Returns:
        The indices of the training and of the validation images, both ascending.
    """
    shuffled = permutation(n, seed)
    return np.sort(shuffled[val_size:]), np.sort(shuffled[:val_size])


def channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 images [N, H, W, C], N >= 1, on the scale from 0 to 1.

    The sums are exact integers, so the result is the same on every machine. A constant channel has the
    standard deviation 1, which lets it be divided by.
    """
    channels = images.shape[-1]
    total, squares = [0] * channels, [0] * channels
    for first in range(0, len(images), 4096):
        block = images[first : first + 4096]
        # 255 ** 2 just fits into 16 bits.
        squared = np.square(block, dtype=np.uint16)
        for channel in range(channels):
            total[channel] += int(block[..., channel].sum(dtype=np.uint64))
            squares[channel] += int(squared[..., channel].sum(dtype=np.uint64))
    count = images.size // channels
    mean = tuple(s / (255 * count) for s in total)
    std = tuple(math.sqrt(count * q - s * s) / (255 * count) or 1.0 for s, q in zip(total, squares, strict=True))
    return mean, std
