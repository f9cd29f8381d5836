"""Schemes: what may stand before the colon of a data set's name, `folder:pets`, and how what follows is read."""

import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from jaxticket.core.registry import Registry

if TYPE_CHECKING:
    import numpy as np

# What splits are called. Where there is `val` but no `test`, `val` is the test split, as ImageNet's is.
SPLITS = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}
LARGEST_SIDE = 4096  # of images that are scaled, in pixels


class LabelledImages(NamedTuple):
    """The images of a split, before any of them is decoded.

    Attributes:
        labels: int32 [N], each the index of a class, or [N, ...] of a class for each pixel; or float32 [N, outputs].
        names: of each image, different ones, for messages; their hashes are the order of the images.
        read: row -> an image file as bytes, or pixels uint8 [H, W, C].
    """

    labels: "np.ndarray"
    names: Sequence[str]
    read: Callable[[int], "bytes | np.ndarray"]


Opened: TypeAlias = tuple[Sequence[str], Mapping[str, LabelledImages]]


class OwnFiles(NamedTuple):
    """What a place holds, as far as it can be known without reading it.

    Attributes:
        place: where it is, the same text for the same place whatever the current folder.
        files: all its files; their sizes and times tell whether something has changed.
        open: gives the names of the classes, and the images by split: `train`, and `test` and `val` where there are.
    """

    place: str
    files: Sequence[Path]
    open: Callable[[], Opened]


@dataclasses.dataclass(frozen=True)
class DataScheme:
    """A way to read data of one's own.

    Attributes:
        name: what stands before the colon.
        form: what follows it, for messages: `PATH`.
        find: (what follows the colon, whether the network may be used) -> what is there. It raises `DataError` with one
            line that names what is wrong.
    """

    name: str
    form: str
    find: Callable[[str, bool], OwnFiles]


def _own() -> Iterator[DataScheme]:
    """The package's schemes: every module registers its own when it is imported."""
    for module in ("folder", "npz", "parquet", "hub"):
        importlib.import_module(f"jaxticket.data.own.{module}")
    yield from ()


SCHEMES: Registry[DataScheme] = Registry("scheme", DataScheme, _own)


def register_scheme(scheme: DataScheme) -> DataScheme:
    """Makes a scheme known: `--config.data.name=NAME:...` then reads data by it.

    Args:
        scheme: its name and the function that finds its files.

    Returns:
        The same.

    Raises:
        ConfigError: another scheme has this name.

    Example:
        >>> import numpy as np
        >>> from jaxticket import data
        >>> def stripes(place, download):
        ...     labels = np.arange(int(place), dtype=np.int32) % 2
        ...     draw = lambda row: np.full((8, 8, 1), 255 * labels[row], np.uint8)
        ...     images = data.LabelledImages(labels, [f"stripe {row}" for row in range(len(labels))], draw)
        ...     return data.OwnFiles(place, [], lambda: (("black", "white"), {"train": images}))
        >>> _ = data.register_scheme(data.DataScheme("stripes", "COUNT", stripes))
        >>> data.spec("stripes:50").official_sizes
        {'train': 40, 'test': 10}
    """
    return SCHEMES.register(scheme)


def scheme_of(name: str) -> tuple[DataScheme, str] | None:
    """The scheme of a name and what follows the colon; None where there is no colon, or no such scheme before it."""
    scheme, colon, place = name.partition(":")
    return (SCHEMES.get(scheme), place) if colon and scheme in SCHEMES else None


def forms() -> list[str]:
    """What can be given instead of a registered name, for messages: `folder:PATH` and so on."""
    return [f"{scheme.name}:{scheme.form}" for scheme in SCHEMES]
