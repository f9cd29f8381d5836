"""Image files of any kind, mode and size to pixels of one size: grey if all of them are, else RGB."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jaxticket.core.errors import DataError
from jaxticket.data.own.schemes import LabelledImages

_BLOCK = 1024
_THREADS = 8
_GREY = ("1", "L", "LA", "La")


def decode_all(images: LabelledImages, place: str, image_size: int) -> np.ndarray:
    """All images of a split, uint8 [N, H, W, C], C being 1 where all are grey.

    Raises:
        DataError: naming an image that is damaged, or is not of the size of the first one.
    """
    pixels: np.ndarray = np.empty(())
    for row, image in enumerate(_decoded(images, place, image_size)):
        if not row:
            pixels = np.empty((len(images.labels), *image.shape), np.uint8)
        if image.shape[:2] != pixels.shape[1:3]:
            raise DataError(other_size(place, images.names[row], image.shape, pixels.shape[1:]))
        if image.shape[2] != pixels.shape[3]:
            pixels, image = in_colour(pixels), in_colour(image)
            if image.shape[2] != pixels.shape[3]:
                raise DataError(
                    f"{place}: {images.names[row]}: has {image.shape[2]} channels, others {pixels.shape[3]}"
                )
        pixels[row] = image
    return pixels


def other_size(place: str, name: str, shape: tuple[int, ...], others: tuple[int, ...]) -> str:
    """What to say of an image that is not of the size of others."""
    return (
        f"{place}: {name}: has {shape[0]}x{shape[1]} pixels, others {others[0]}x{others[1]}; set "
        f"config.data.image_size, such as {min(others[:2])}, to scale all of them"
    )


def in_colour(pixels: np.ndarray) -> np.ndarray:
    """Grey pixels [..., 1] as RGB; others as they are."""
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels


def _decoded(images: LabelledImages, place: str, image_size: int) -> Iterator[np.ndarray]:
    with ThreadPoolExecutor(_THREADS) as decoders:
        for first in range(0, len(images.labels), _BLOCK):
            rows = range(first, min(first + _BLOCK, len(images.labels)))
            yield from decoders.map(lambda row: decode_named(images, place, image_size, row), rows)


def decode_named(images: LabelledImages, place: str, image_size: int, row: int) -> np.ndarray:
    """The pixels of an image of a split.

    Raises:
        DataError: naming the image, where it is damaged.
    """
    try:
        return decode_own(images.read(row), image_size)
    except Exception as error:  # of a damaged file decoders raise anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].partition(" <_io")[0]
        raise DataError(f"{place}: {images.names[row]}: is no image that can be read ({reason})") from error


def decode_own(image: bytes | np.ndarray, image_size: int = 0) -> np.ndarray:
    """The pixels of an image file, turned as its EXIF data says: uint8 [H, W, 1 or 3].

    Transparency is left out, palettes become RGB, 16-bit grey becomes 8-bit. Pixels are taken as they are.

    Args:
        image: an image file, or uint8 [H, W, C].
        image_size: the side of a square: the shorter side is scaled to it (bilinear, antialiased), and the middle is
            cropped. 0: as large as it is.

    Raises:
        OSError, ValueError: it cannot be decoded, or has other pixels.
    """
    if isinstance(image, np.ndarray) and (not image_size or image.shape[:2] == (image_size, image_size)):
        return image
    from PIL import Image, ImageOps

    if isinstance(image, np.ndarray):
        if image.shape[2] not in (1, 3):
            raise ValueError(f"images of {image.shape[2]} channels cannot be scaled")
        opened = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    else:
        opened = ImageOps.exif_transpose(Image.open(io.BytesIO(image)))
    if opened.mode.startswith("I;16"):
        opened = Image.fromarray((np.asarray(opened) >> 8).astype(np.uint8))
    elif opened.mode in ("I", "F"):
        raise ValueError(f"its pixels are of 32 bits, mode {opened.mode}; save it with 8")
    grey = opened.mode in _GREY
    if not grey:  # a transparent palette becomes RGBA first, as Pillow wants it
        opened = opened.convert("RGBA") if "transparency" in opened.info else opened
    opened = opened.convert("L" if grey else "RGB")
    if image_size:
        opened = ImageOps.fit(opened, (image_size, image_size), Image.Resampling.BILINEAR)
    pixels = np.asarray(opened)
    return pixels[..., None] if grey else pixels
