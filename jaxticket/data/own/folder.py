"""`folder:PATH`: image files in a folder for each class, `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*`."""

import os
from pathlib import Path

import numpy as np

from jaxticket.core.errors import DataError
from jaxticket.data.own.schemes import SPLITS, DataScheme, LabelledImages, Opened, OwnFiles, register_scheme

# Of Pillow's formats those in which collections of images come; what else lies beside them is no image.
_SUFFIXES = frozenset(
    [".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"]
)


def find_folder(place: str, download: bool) -> OwnFiles:
    """The image files in the folders of classes; see `DataScheme`.

    Raises:
        DataError: there is no such folder, no image in it, or a class without one.
    """
    root = Path(place).expanduser().resolve()
    if not root.is_dir():
        said = "is a file" if root.exists() else "there is no such folder"
        raise DataError(f"folder:{place}: {said}; give a folder with one folder of images for each class")
    inside = _folders(root)
    roots = {"": root}
    if "train" in inside and any(_folders(inside[name]) for name in inside if name in SPLITS):  # else it is a class
        roots = {SPLITS[name]: path for name, path in inside.items() if name in SPLITS}
        if others := [name for name in inside if name not in SPLITS]:
            raise DataError(f"{inside[others[0]]}: is neither train, test nor val; take it out of the folder of splits")
    classes = {
        split or "train": {name: _images(at) for name, at in _folders(at).items()} for split, at in roots.items()
    }
    for split, at in roots.items():
        for name, images in classes[split or "train"].items():
            if not images:
                raise DataError(
                    f"{at / name}: is an empty class, with no image ({', '.join(sorted(_SUFFIXES))}) directly in it; "
                    "fill or remove it"
                )
            if name not in classes["train"]:
                raise DataError(f"{at / name}: is a class without training images; add it to train/ or remove it")
    if not classes["train"]:
        raise DataError(
            f"folder:{place}: has no folders of classes; put images into CLASS/, or train/CLASS/ and test/CLASS/"
        )
    files = [path for its in classes.values() for images in its.values() for path in images]
    return OwnFiles(str(root), files, lambda: _open(root, classes))


def _open(root: Path, classes: dict[str, dict[str, list[Path]]]) -> Opened:
    names = list(classes["train"])
    start = len(f"{root / 'x'}") - 1

    def split(its: dict[str, list[Path]]) -> LabelledImages:
        paths = [path for images in its.values() for path in images]
        labels = np.repeat([names.index(name) for name in its], [len(images) for images in its.values()])
        named = [str(path)[start:] for path in paths]
        return LabelledImages(labels.astype(np.int32), named, lambda row: paths[row].read_bytes())

    return names, {name: split(its) for name, its in classes.items()}


def _folders(root: Path) -> dict[str, Path]:
    return {path.name: path for path in _visible(root) if path.is_dir()}


def _images(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if os.path.splitext(path.name)[1].lower() in _SUFFIXES]  # noqa: PTH122


def _visible(folder: Path) -> list[Path]:
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); make it readable") from error
    return [folder / name for name in names]


register_scheme(DataScheme("folder", "PATH", find_folder))
