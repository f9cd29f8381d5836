"""Labelled images one by one, as the readers of raw archives give them, and their pixels and files."""

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxticket.data.specs import DatasetSpec


class Example(NamedTuple):
    """One image of a raw archive.

    Attributes:
        key: what TensorFlow Datasets orders the images of a split by; unique in its split.
        image: the pixels, uint8 [height, width, channels], or an encoded image file.
        label: in [0, number of classes).
        fields: the further features of TensorFlow Datasets, by name.
    """

    key: str | int
    image: np.ndarray | bytes
    label: int
    fields: Mapping[str, Any] = {}


# (data set, its archives by name, "train" or "test") -> the images of that split, in any order. A damaged or foreign
# archive is a DataError; how many images there are is checked by the caller.
Reader = Callable[[DatasetSpec, Mapping[str, Path], str], Iterator[Example]]


def decode(image: np.ndarray | bytes, spec: DatasetSpec) -> np.ndarray:
    """The pixels of an image as `spec` wants them, uint8 of its `image_shape`.

    An encoded image must have that shape and be grey or colour as it says. Only where `spec.fit` is set, it is
    fitted: RGB, scaled so that the shorter side matches (bilinear, antialiased), cropped in the middle.

    Raises:
        ValueError: the image has another shape or type.
        OSError: the bytes are no image.
    """
    pixels = image if isinstance(image, np.ndarray) else _decode_file(image, spec)
    shape = spec.image_shape
    if pixels.ndim == 2 and shape[2] == 1:
        pixels = pixels[..., None]
    if pixels.dtype != np.uint8 or pixels.shape != shape:
        raise ValueError(f"an image has shape {pixels.shape} and type {pixels.dtype}, expected uint8 {shape}")
    return pixels


def encode(pixels: np.ndarray) -> bytes:
    """A PNG file of uint8 pixels [height, width, 1 or 3]."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def _decode_file(encoded: bytes, spec: DatasetSpec) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as image:
        if not spec.fit:
            return np.asarray(image)
        height, width, _ = spec.image_shape
        scale = max(width / image.width, height / image.height)
        size = max(width, round(scale * image.width)), max(height, round(scale * image.height))
        scaled = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return scaled[top : top + height, left : left + width]
