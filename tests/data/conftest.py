"""A small data set of Fashion-MNIST's form, in every shape in which it can lie on a disk."""

import dataclasses
import gzip
import hashlib
import io
import struct
from pathlib import Path

import numpy as np
import pytest

from jaxticket.data import registry
from jaxticket.data.specs import Archive, DatasetSpec

TRAIN, TEST = 300, 120


@pytest.fixture(autouse=True)
def alone(tmp_path_factory, monkeypatch):
    """No data set of the user's is seen, and none is written to the user's home."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("JAXTICKET_DATA", raising=False)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


def idx_bytes(items: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, items.ndim)) + struct.pack(f">{items.ndim}I", *items.shape)
    return header + items.tobytes()


@pytest.fixture(scope="session")
def raw() -> dict[str, np.ndarray]:
    """The four arrays in file order; images are mostly smooth, as real ones are."""
    rng = np.random.default_rng(0)
    arrays = {}
    for prefix, size in (("train", TRAIN), ("t10k", TEST)):
        waves = np.add.outer(rng.integers(0, 200, size), np.add.outer(np.arange(28), np.arange(28)))
        arrays[f"{prefix}-images-idx3-ubyte"] = waves.astype(np.uint8)
        arrays[f"{prefix}-labels-idx1-ubyte"] = rng.integers(0, 10, size).astype(np.uint8)
    return arrays


@pytest.fixture(scope="session")
def compressed(raw) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(idx_bytes(items), mtime=0) for name, items in raw.items()}


@pytest.fixture(scope="session")
def small(raw, compressed) -> DatasetSpec:
    """The facts of `fashion_mnist`, for the small data set."""
    archives = tuple(
        Archive(
            name=name,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            content_sha256=hashlib.sha256(gzip.decompress(content)).hexdigest(),
        )
        for name, content in compressed.items()
    )
    return dataclasses.replace(
        registry.spec("fashion_mnist"),
        train_size=TRAIN,
        test_size=TEST,
        archives=archives,
        url="",
        debian_folder="",
    )


@pytest.fixture
def registered(small, monkeypatch) -> DatasetSpec:
    """`small` in the place of `fashion_mnist`."""
    registry.DATASETS.replace(small)
    return small


@pytest.fixture(scope="session")
def place_archives(compressed):
    """Puts the four archives into a folder, as they are or decompressed."""

    def place(folder: Path, *, plain: bool = False) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in compressed.items():
            if plain:
                (folder / name.removesuffix(".gz")).write_bytes(gzip.decompress(content))
            else:
                (folder / name).write_bytes(content)
        return folder

    return place


@pytest.fixture(scope="session")
def prepared(raw, tmp_path_factory) -> Path:
    """A folder written by the official builder of TensorFlow Datasets, in two ArrayRecord files per split."""
    import tensorflow_datasets as tfds
    from PIL import Image
    from tensorflow_datasets.core import registered as tfds_registered
    from tensorflow_datasets.image_classification import mnist

    def png(pixels: np.ndarray) -> io.BytesIO:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        file.seek(0)
        return file

    with tfds_registered.skip_registration():

        class FashionMNIST(mnist.FashionMNIST):
            name = "fashion_mnist"

            def _split_generators(self, dl_manager):
                return {"train": self._rows("train"), "test": self._rows("t10k")}

            def _rows(self, prefix):
                images, labels = raw[f"{prefix}-images-idx3-ubyte"], raw[f"{prefix}-labels-idx1-ubyte"]
                for row, (pixels, label) in enumerate(zip(images, labels, strict=True)):
                    yield row, {"image": png(pixels), "label": int(label)}

    folder = tmp_path_factory.mktemp("prepared")
    FashionMNIST(data_dir=folder, file_format="array_record").download_and_prepare(
        download_config=tfds.download.DownloadConfig(try_download_gcs=False, num_shards=2)
    )
    return folder
