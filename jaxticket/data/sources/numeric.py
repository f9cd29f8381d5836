"""Archives whose images are arrays of numbers: IDX (the MNIST family), MATLAB (SVHN) and NumPy (small ImageNet)."""

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from jaxticket.core.errors import DataError
from jaxticket.data.registry import names, spec
from jaxticket.data.sources.idx import read_idx
from jaxticket.data.sources.records import Example
from jaxticket.data.sources.tar_zip import refusing
from jaxticket.data.specs import DatasetSpec

_IDX_PREFIXES = {"train": "train", "test": "t10k"}


def read_mnist(spec: DatasetSpec, paths: Mapping[str, Path], split: str) -> Iterator[Example]:
    """The images in the four IDX files of a data set of the MNIST family; see `records.Reader`."""
    contents = {archive.name: archive.content_sha256 for archive in spec.archives}

    def read(name: str, shape: tuple[int, ...]) -> np.ndarray:
        items, sha256 = read_idx(paths[name], shape)
        if contents[name] not in ("", sha256):
            raise DataError(f"{paths[name]}: is not {name} of {spec.name}{_owner(sha256)}; put the right file there")
        return items

    size, prefix = spec.official_sizes[split], _IDX_PREFIXES[split]
    # The file has no axis for its one channel.
    images = read(f"{prefix}-images-idx3-ubyte.gz", (size, *spec.image_shape[:2]))
    return _running(images, read(f"{prefix}-labels-idx1-ubyte.gz", (size,)))


def read_emnist(spec: DatasetSpec, paths: Mapping[str, Path], split: str) -> Iterator[Example]:
    """The images of one split of EMNIST, from the archive that has all of them; see `records.Reader`."""
    (path,) = paths.values()
    size, prefix = spec.official_sizes[split], f"gzip/{spec.prepared_name.replace('/', '-')}-{split}"
    images, _ = read_idx(path, (size, *spec.image_shape[:2]), member=f"{prefix}-images-idx3-ubyte.gz")
    labels, _ = read_idx(path, (size,), member=f"{prefix}-labels-idx1-ubyte.gz")
    return _running(images, labels)


def read_svhn(spec: DatasetSpec, paths: Mapping[str, Path], split: str) -> Iterator[Example]:
    """The cropped house numbers; the files call the digit zero 10. See `records.Reader`."""
    import scipy.io

    path = paths[f"{split}_32x32.mat"]
    with refusing(path):
        content = scipy.io.loadmat(path, variable_names=("X", "y"))
        images, labels = np.moveaxis(content["X"], -1, 0), content["y"].ravel() % 10
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield Example(index, image, int(label), {"id": f"{split}_{index:06d}"})


def read_small_imagenet(spec: DatasetSpec, paths: Mapping[str, Path], split: str) -> Iterator[Example]:
    """ImageNet scaled to 32x32, from zip archives of NumPy files with labels from 1; see `records.Reader`."""
    height, width, channels = spec.image_shape
    path = paths[f"Imagenet32_{'train' if split == 'train' else 'val'}_npz.zip"]
    with refusing(path), zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.endswith(".npz"):
                continue
            with np.load(io.BytesIO(archive.read(name)), allow_pickle=False) as batch:
                images = batch["data"].reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
                labels = batch["labels"]
            for index, (image, label) in enumerate(zip(images, labels, strict=True)):
                yield Example(f"{name}{index}", image, int(label) - 1)


def _running(images: np.ndarray, labels: np.ndarray) -> Iterator[Example]:
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        yield Example(index, image[..., None], int(label))


def _owner(content_sha256: str) -> str:
    """Whose file it is that was found instead of another, as the end of a sentence."""
    for name in names():
        for archive in spec(name).archives:
            if archive.content_sha256 == content_sha256:
                return f" but {archive.name} of {name}"
    return ""
