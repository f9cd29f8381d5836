"""Some of the digits, in every form in which images of one's own can lie on a disk."""

import io
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from jaxticket.data.own.copies import _opened
from jaxticket.data.sources.digits import read_digits

CLASSES = ("one", "seven", "zero")


@pytest.fixture(autouse=True)
def nothing_opened(tmp_path, monkeypatch):
    """Decoded copies lie in a folder of the test, and no process remembers what it read."""
    monkeypatch.setenv("JAXTICKET_DATA", str(tmp_path / "copies"))
    _opened.clear()


@pytest.fixture(scope="session")
def own_digits():
    """Split -> (images uint8 [N, 8, 8, 1], labels) of three classes."""
    found = {}
    for split, size in (("train", 20), ("test", 6)):
        images, labels = read_digits()[split]
        rows = np.concatenate([np.flatnonzero(labels == digit)[:size] for digit in (1, 7, 0)])
        found[split] = images[rows], np.repeat(np.arange(3), size)
    return found


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, "PNG")
    return file.getvalue()


def older(path):
    """Puts the times of all files into the past, so that a decoded copy is trusted at once."""
    for file in [path, *path.rglob("*")]:
        os.utime(file, (1e9, 1e9 + file.stat().st_size))
    return path


@pytest.fixture
def old_enough(monkeypatch):
    """Files may be trusted however young they are: the clock of these tests is fine enough."""
    monkeypatch.setattr("jaxticket.data.own.copies._TICK", -(10**18))


@pytest.fixture(scope="session")
def made_folder(own_digits, tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "digits"
    for split, (images, labels) in own_digits.items():
        for row, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = root / split / CLASSES[label] / f"{row:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image))
    return root


@pytest.fixture
def folder(made_folder, tmp_path):
    """A copy of the folder to be changed."""
    return shutil.copytree(made_folder, tmp_path / "digits")


@pytest.fixture
def npz(own_digits, tmp_path):
    arrays = {f"x_{split}": images[..., 0] for split, (images, _) in own_digits.items()}
    labels = {f"y_{split}": labels[:, None] for split, (_, labels) in own_digits.items()}
    np.savez(tmp_path / "digits.npz", class_names=np.array(CLASSES), **arrays, **labels)
    return tmp_path / "digits.npz"


@pytest.fixture
def parquet(own_digits, tmp_path):
    import pyarrow
    from pyarrow import parquet

    root = tmp_path / "parquet"
    root.mkdir()
    kinds = {"image": {"_type": "Image"}, "label": {"names": CLASSES, "_type": "ClassLabel"}}
    features = {"info": {"features": {**kinds, "id": {"dtype": "int64", "_type": "Value"}}}}
    for split, (images, labels) in own_digits.items():
        stored = [{"bytes": png(image), "path": None} for image in images]
        kind = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
        table = pyarrow.table({"image": pyarrow.array(stored, kind), "label": labels, "id": labels})
        parquet.write_table(
            table.replace_schema_metadata({"huggingface": json.dumps(features)}),
            root / f"{split}-00000-of-00001.parquet",
        )
    return root
