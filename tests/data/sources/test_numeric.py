"""Archives of numbers: MATLAB files, NumPy files, and EMNIST's one archive of IDX files."""

import dataclasses
import gzip
import io
import struct
import zipfile

import numpy as np
import pytest

from jaxticket import data
from jaxticket.core.errors import DataError
from jaxticket.data import registry
from jaxticket.data.__main__ import main
from jaxticket.data.sources.archives import read_archives
from jaxticket.data.sources.tfds_order import hash_order

pytestmark = [pytest.mark.feature("data sets")]

SIZES = {"train": 20, "test": 8}


def small(monkeypatch, name: str):
    row = data.spec(name)
    archives = tuple(dataclasses.replace(archive, size=0, sha256="") for archive in row.archives)
    row = dataclasses.replace(row, train_size=SIZES["train"], test_size=SIZES["test"], archives=archives)
    registry.DATASETS.replace(row)
    return row


def random_images(shape: tuple[int, ...], classes: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(2)
    return {
        split: (rng.integers(0, 256, (size, *shape)).astype(np.uint8), rng.integers(0, classes, size))
        for split, size in SIZES.items()
    }


def idx_bytes(items: np.ndarray) -> bytes:
    return struct.pack(f">4B{items.ndim}I", 0, 0, 8, items.ndim, *items.shape) + items.tobytes()


def check(row, folder, expected):
    """Directly and prepared, the images come as `expected` has them: (images, labels) by split."""
    direct = read_archives(row, folder)
    assert direct is not None
    assert main(["prepare", row.name, "--folder", str(folder)]) == 0
    prepared = data.load(row.name, folder=folder, val_fraction=0.0)
    for split, (images, labels) in expected.items():
        for ours in (direct[split], getattr(prepared, split)):
            assert np.array_equal(ours.images, images)
            assert ours.labels.tolist() == labels.tolist()


def test_svhn(tmp_path, monkeypatch):
    import scipy.io

    row = small(monkeypatch, "svhn_cropped")
    raw, expected = random_images((32, 32, 3), 10), {}
    (tmp_path / "svhn_cropped").mkdir()
    for split, (images, labels) in raw.items():
        ten_for_zero = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
        content = {"X": np.moveaxis(images, 0, -1), "y": ten_for_zero}
        scipy.io.savemat(tmp_path / "svhn_cropped" / f"{split}_32x32.mat", content, do_compression=True)
        rows = hash_order(split, SIZES[split])
        expected[split] = images[rows], labels[rows]
    check(row, tmp_path, expected)
    path = tmp_path / "svhn_cropped" / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"train_32x32\.mat: cannot be read"):
        read_archives(row, tmp_path)


def test_small_imagenet(tmp_path, monkeypatch):
    row = small(monkeypatch, "imagenet_resized/32x32")
    raw, expected = random_images((32, 32, 3), 1000), {}
    (tmp_path / "imagenet_resized").mkdir()
    for split, theirs, batches in (("train", "train", 2), ("test", "val", 1)):
        images, labels = raw[split]
        keys = []
        with zipfile.ZipFile(tmp_path / "imagenet_resized" / f"Imagenet32_{theirs}_npz.zip", "w") as archive:
            archive.mkdir("inner")
            for batch, rows in enumerate(np.split(np.arange(SIZES[split]), batches)):
                file = io.BytesIO()
                flat = images[rows].transpose(0, 3, 1, 2).reshape(len(rows), -1)
                np.savez(file, data=flat, labels=labels[rows] + 1)
                archive.writestr(f"inner/batch_{batch}.npz", file.getvalue())
                keys += [f"inner/batch_{batch}.npz{i}" for i in range(len(rows))]
        order = hash_order("validation" if split == "test" else split, keys)
        expected[split] = images[order], labels[order]
    check(row, tmp_path, expected)
    assert (tmp_path / "cache" / "imagenet_resized-32x32-0.1.0" / "manifest.json").is_file()
    assert (tmp_path / "imagenet_resized" / "32x32" / "0.1.0").is_dir()


def test_emnist(tmp_path, monkeypatch):
    row = small(monkeypatch, "emnist")
    raw, expected = random_images((28, 28, 1), 47), {}
    (tmp_path / "emnist").mkdir()
    path = tmp_path / "emnist" / "gzip.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for split, (images, labels) in raw.items():
            for kind, items in (("images-idx3", images[..., 0]), ("labels-idx1", labels.astype(np.uint8))):
                name = f"gzip/emnist-balanced-{split}-{kind}-ubyte.gz"
                archive.writestr(name, gzip.compress(idx_bytes(items)))
            rows = hash_order(split, SIZES[split])
            expected[split] = images[rows], labels[rows]
    check(row, tmp_path, expected)
    assert (tmp_path / "emnist" / "balanced" / "3.1.0").is_dir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("gzip/other.gz", b"")
    with pytest.raises(DataError, match=r"gzip\.zip \(gzip/emnist-balanced-train-images-idx3-ubyte\.gz\): cannot be"):
        read_archives(row, tmp_path)


def test_fashion_mnist_equals_that_of_official_builder(registered, place_archives, prepared, tmp_path):
    place_archives(tmp_path / "archives")
    arguments = ["--archive", str(tmp_path / "archives"), "--folder", str(tmp_path)]
    assert main(["prepare", "fashion_mnist", *arguments]) == 0
    ours, theirs = (data.load("fashion_mnist", folder=folder) for folder in (tmp_path, prepared))
    for split in ("train", "val", "test"):
        for one, other in zip(getattr(ours, split), getattr(theirs, split), strict=True):
            assert np.array_equal(one, other)
    features = [(folder / "fashion_mnist" / "3.0.1" / "features.json").read_text() for folder in (tmp_path, prepared)]
    assert features[0] == features[1]
