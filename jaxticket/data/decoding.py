"""Encoded images of any size to pixels of one size, on the host: what cannot be done inside jit."""

import math
from typing import Any

import numpy as np

from jaxticket.core.errors import DataError

# Of a random resized crop: shares of the area, ratio of width to height, attempts (Szegedy et al. 2015, section 6; ten
# attempts as is customary).
AREA = (0.08, 1.0)
_ASPECT = (3 / 4, 4 / 3)
LOG_ASPECT = (math.log(_ASPECT[0]), math.log(_ASPECT[1]))
_ATTEMPTS = 10
# Customary for ImageNet: the shorter side of a test image is scaled to 256 pixels before 224 are cropped.
RESIZE_PER_CROP = 256 / 224


def decode_colour(encoded: bytes | np.ndarray) -> np.ndarray:
    """An image file as RGB pixels, uint8 [H, W, 3]; grey and CMYK files are converted, pixels are passed on.

    Raises:
        DataError: it cannot be decoded.
    """
    if isinstance(encoded, np.ndarray):
        return encoded
    import cv2

    pixels: Any = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise DataError(f"an image of {len(encoded):,} bytes cannot be decoded; prepare the data set again")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def crop_at_random(pixels: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A random window scaled to a square: uint8 [H, W, C] -> [side, side, C].

    As `augmentation.crop_at_random`; where ten windows did not fit it is the largest one in the middle.
    """
    height, width = pixels.shape[:2]
    for _ in range(_ATTEMPTS):
        area = height * width * rng.uniform(*AREA)
        ratio = math.exp(rng.uniform(*LOG_ASPECT))
        rows, columns = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
        if 0 < rows <= height and 0 < columns <= width:
            top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
            return _resize(pixels[top : top + rows, left : left + columns], side, side)
    rows, columns = min(height, round(width / _ASPECT[0])), min(width, round(height * _ASPECT[1]))
    return _resize(_middle(pixels, rows, columns), side, side)


def centre_crop(pixels: np.ndarray, side: int) -> np.ndarray:
    """The middle of an image whose shorter side was scaled to `side * 256 / 224`: uint8 [side, side, C]."""
    height, width = pixels.shape[:2]
    scale = round(side * RESIZE_PER_CROP) / min(height, width)
    resized = _resize(pixels, max(side, round(height * scale)), max(side, round(width * scale)))
    return _middle(resized, side, side)


def _middle(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    top, left = (pixels.shape[0] - rows) // 2, (pixels.shape[1] - columns) // 2
    return pixels[top : top + rows, left : left + columns]


def _resize(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    import cv2

    smaller = rows < pixels.shape[0]
    return cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
