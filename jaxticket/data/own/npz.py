"""`npz:FILE`: arrays that NumPy saved, with the names that Keras and MedMNIST give them, or `images` and `labels`."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from jaxticket.core.errors import DataError
from jaxticket.data.own.labels import targets_of
from jaxticket.data.own.schemes import SPLITS, DataScheme, LabelledImages, Opened, OwnFiles, register_scheme

_PAIRS = {("images", "labels"): "train", ("x", "y"): "train"}
for _name, _split in SPLITS.items():
    _PAIRS |= {(f"x_{_name}", f"y_{_name}"): _split, (f"{_name}_images", f"{_name}_labels"): _split}


def find_npz(place: str, download: bool) -> OwnFiles:
    """The arrays of a file of `np.savez`; see `DataScheme`.

    Raises:
        DataError: there is no such file.
    """
    path = Path(place).expanduser().resolve()
    if not path.is_file():
        raise DataError(f"npz:{place}: there is no such file; give one that np.savez wrote")
    return OwnFiles(str(path), [path], lambda: _open(path))


def _open(path: Path) -> Opened:
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: is no file of np.savez that can be read (it has no arrays by name); write it so")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: is no file of np.savez that can be read ({error}); write it again") from error
    found = {split: pair for pair, split in _PAIRS.items() if set(pair) <= arrays.keys()}
    if "train" not in found:
        raise DataError(
            f"{path}: has the arrays {', '.join(arrays) or 'none'}; it needs images and labels, or x_train, y_train, "
            "x_test and y_test, or train_images, train_labels, ..."
        )
    pixels = {split: _pixels(path, images, arrays[images], arrays[labels]) for split, (images, labels) in found.items()}
    labels = {split: arrays[labels] for split, (_, labels) in found.items()}
    labels = {
        split: found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found for split, found in labels.items()
    }
    names = arrays["class_names"].tolist() if "class_names" in arrays else ()
    classes, targets = targets_of(str(path), labels, names)

    def split(name: str) -> LabelledImages:
        array, array_name = pixels[name], found[name][0]
        named = [f"{array_name}[{row}]" for row in range(len(array))]
        return LabelledImages(targets[name], named, array.__getitem__)

    return classes, {name: split(name) for name in pixels}


def _pixels(path: Path, name: str, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Images [N, H, W, C] of an array that has this name."""
    found = f"{path}: {name} is {images.dtype} of shape {images.shape}"
    if images.dtype != np.uint8:
        raise DataError(f"{found}; images must be uint8, 0 to 255: (255 * images).round().astype('uint8') of 0 to 1")
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        raise DataError(f"{found}, channels first; images must be [N, height, width, channels]: transpose(0, 2, 3, 1)")
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise DataError(f"{found}; images must be [N, height, width] or [N, height, width, channels]")
    if len(images) != len(labels):
        raise DataError(f"{found}, and there are {len(labels)} labels; every image needs one")
    return images if images.ndim == 4 else images[..., None]


register_scheme(DataScheme("npz", "FILE", find_npz))
