"""Archives with one file per image, in folders by class: Imagenette, Tiny-ImageNet and ImageNet.

Encoded images are passed on as they are. Classes are the WordNet identifiers ("wnids"), sorted.
"""

import io
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from jaxticket.core.errors import DataError
from jaxticket.data.sources.records import Example
from jaxticket.data.sources.tar_zip import refusing, tar_files
from jaxticket.data.specs import DatasetSpec

_TINY = "tiny-imagenet-200"


def read_imagenette(spec: DatasetSpec, paths: Mapping[str, Path], split: str) -> Iterator[Example]:
    """The JPEG files in `imagenette2-160/{train,val}/WNID/`, keyed by their name; see `records.Reader`."""
    (path,) = paths.values()
    labels = _labels("image_classification/imagenette_labels.txt")
    folder = "train" if split == "train" else "val"
    with refusing(path):
        for name, content in tar_files(path):
            parts = name.split("/")
            if len(parts) == 4 and parts[1] == folder and name.endswith(".JPEG"):
                yield Example(parts[3], content.read(), _label(path, labels, parts[2]))


def read_tiny_imagenet(spec: DatasetSpec, paths: Mapping[str, Path], split: str) -> Iterator[Example]:
    """The JPEG files of Tiny-ImageNet, keyed by their name; its validation images are the test split.

    Some files are grey: they become RGB. See `records.Reader`.
    """
    (path,) = paths.values()
    with refusing(path), zipfile.ZipFile(path) as archive:
        wnids = sorted(archive.read(f"{_TINY}/wnids.txt").decode("ascii").split())
        labels = {wnid: label for label, wnid in enumerate(wnids)}
        if split == "train":
            files = [name for name in archive.namelist() if name.startswith(f"{_TINY}/train/")]
            wnid_of = {name: name.split("/")[2] for name in files if name.endswith(".JPEG")}
        else:
            lines = archive.read(f"{_TINY}/val/val_annotations.txt").decode("ascii").splitlines()
            wnid_of = {f"{_TINY}/val/images/{line.split()[0]}": line.split()[1] for line in lines if line.strip()}
        for name, wnid in wnid_of.items():
            file_name = name.rpartition("/")[2]
            yield Example(file_name, _rgb(archive.read(name)), _label(path, labels, wnid), {"file_name": file_name})


def read_imagenet(spec: DatasetSpec, paths: Mapping[str, Path], split: str) -> Iterator[Example]:
    """The images of ImageNet 2012, keyed by their name; its validation images are the test split.

    The archive of the training images holds one tar archive per class, which are read where they lie. The labels of
    the validation images are the official ones, which come with tensorflow-datasets. Files are passed on
    unchanged, also the 23 that are no RGB JPEG files (22 are CMYK, one is PNG). See `records.Reader`.
    """
    labels = _labels("datasets/imagenet2012/labels.txt")
    if split == "train":
        path = paths["ILSVRC2012_img_train.tar"]
        with refusing(path):
            for class_name, class_archive in tar_files(path):
                label = _label(path, labels, class_name.removesuffix(".tar"))
                for name, content in tar_files(class_archive):
                    yield Example(name, content.read(), label, {"file_name": name})
        return
    path = paths["ILSVRC2012_img_val.tar"]
    with refusing(path):
        with tarfile.open(path, "r:") as archive:
            names = sorted(member.name.removeprefix("./") for member in archive if member.isfile())
        wnids = dict(zip(names, _lines("datasets/imagenet2012/validation_labels.txt"), strict=False))
        for name, content in tar_files(path):
            if name not in wnids:
                raise DataError(f"{path}: holds more images than there are labels; put the right file there")
            yield Example(name, content.read(), labels[wnids[name]], {"file_name": name})


def _rgb(encoded: bytes) -> bytes | np.ndarray:
    """The file itself, or RGB pixels where it is not RGB."""
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as image:
        return encoded if image.mode == "RGB" else np.asarray(image.convert("RGB"))


def _label(path: Path, labels: Mapping[str, int], wnid: str) -> int:
    if wnid not in labels:
        raise DataError(f"{path}: has images of {wnid!r}, which is none of the classes; put the right file there")
    return labels[wnid]


def _labels(file: str) -> dict[str, int]:
    return {wnid: label for label, wnid in enumerate(_lines(file))}


def _lines(file: str) -> list[str]:
    """The lines of a file of tensorflow-datasets."""
    import tensorflow_datasets as tfds

    return Path(tfds.core.tfds_path(file)).read_text().split()
