"""Data of one's own that cannot be used: one line that names it, exit code 2, nothing written."""

import re
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxticket import data
from jaxticket.core.errors import ConfigError, DataError
from jaxticket.main import main

pytestmark = [pytest.mark.feature("data sets")]

IMP = f"--config={Path(__file__).resolve().parents[3] / 'configs' / 'imp.py'}"
GREY = np.zeros((10, 4, 4), np.uint8)
LABELS = np.arange(10) % 2


def changed(change):
    """A folder of one's own to which something is done."""

    def make(folder, tmp_path):
        change(folder)
        return f"folder:{folder}"

    return make


def first(folder, split="train"):
    return sorted((folder / split / "one").iterdir())[0]


def emptied(folder):
    shutil.rmtree(folder / "train/zero")
    (folder / "train/zero").mkdir()


def alone(folder):
    """No splits, and a class of a single image."""
    shutil.rmtree(folder / "test")
    for path in sorted((folder / "train/one").iterdir())[1:]:
        path.unlink()
    for path in (folder / "train").iterdir():
        path.rename(folder / path.name)
    (folder / "train").rmdir()


def saved(**arrays):
    def make(folder, tmp_path):
        np.savez(tmp_path / "own.npz", **arrays)
        return f"npz:{tmp_path}/own.npz"

    return make


def table(**columns):
    def make(folder, tmp_path):
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table(columns), tmp_path / "own.parquet")
        return f"parquet:{tmp_path}/own.parquet"

    return make


def unnamed(folder, tmp_path):
    table(image=[b"x"], label=[0])(folder, tmp_path / "..")
    (tmp_path / "some").mkdir()
    for name in ("train.parquet", "more.parquet"):
        shutil.copy(tmp_path / ".." / "own.parquet", tmp_path / "some" / name)
    return f"parquet:{tmp_path}/some"


# What makes the data and its name, and what the line must say.
WRONG = {
    "no folder": (lambda folder, at: f"folder:{at}/none", ["there is no such folder; give a folder with"]),
    "a file": (lambda folder, at: f"folder:{first(folder)}", ["000.png: is a file; give a folder"]),
    "a folder without a scheme": (lambda folder, at: str(folder), ["did you mean 'folder:/", "folder:PATH"]),
    "no scheme": (lambda folder, at: f"foldr:{folder}", ["data.name='foldr:", "folder:PATH"]),
    "no classes": (changed(lambda folder: shutil.rmtree(folder / "train/one") or [
        shutil.rmtree(folder / "train" / name) for name in ("zero", "seven")
    ]), ["test/one: is a class without training images"]),
    "nothing": (lambda folder, at: f"folder:{first(folder).parent}", ["has no folders of classes"]),
    "an empty class": (changed(emptied), ["train/zero: is an empty class, with no image"]),
    "images too deep": (lambda folder, at: f"folder:{folder.parent}", ["digits: is an empty class"]),
    "another folder": (changed(lambda folder: (folder / "train_old").mkdir()), ["train_old: is neither train, test"]),
    "a class of the test split": (changed(lambda folder: shutil.copytree(folder / "test/one", folder / "test/two")), [
        "test/two: is a class without training images"
    ]),
    "a single image": (changed(alone), ["the class 'one' has a single image, one/000.png", "add images, or divide"]),
    "a damaged image": (changed(lambda folder: first(folder).write_bytes(first(folder).read_bytes()[:60])), [
        "train/one/000.png: is no image that can be read"
    ]),
    "a text": (changed(lambda folder: first(folder, "test").write_text("hello")), [
        "test/one/000.png: is no image that can be read (cannot identify image file)"
    ]),
    "another size": (changed(lambda folder: Image.new("L", (9, 7)).save(first(folder))), [
        "train/one/000.png: has 7x9 pixels, others 8x8", "config.data.image_size"
    ]),
    "test images of another size": (changed(lambda folder: [
        Image.new("L", (9, 9)).save(path) for path in (folder / "test").rglob("*.png")
    ]), ["has 9x9 pixels, others 8x8"]),
    "pixels of 32 bits": (changed(lambda folder: Image.new("F", (8, 8)).save(first(folder), "TIFF")), [
        "its pixels are of 32 bits, mode F; save it with 8"
    ]),
    "no file of arrays": (lambda folder, at: f"npz:{at}/none.npz", ["there is no such file; give one that np.savez"]),
    "arrays that are none": (lambda folder, at: f"npz:{first(folder)}", ["is no file of np.savez that can be read"]),
    "an array without a name": (
        lambda folder, at: np.save(at / "one.npy", GREY) or f"npz:{at}/one.npy", ["it has no arrays by name"]
    ),
    "no place": (lambda folder, at: "folder:", ["folder:: does not say what to read; give folder:PATH"]),
    "no file's name": (lambda folder, at: "npz:", ["npz:: does not say what to read; give npz:FILE"]),
    "one class": (saved(images=GREY, labels=0 * LABELS), ["own.npz: has no class but '0'; give images of two or more"]),
    "other arrays": (saved(pixels=GREY), ["own.npz: has the arrays pixels; it needs images and labels"]),
    "floats": (saved(images=GREY / 255, labels=LABELS), ["images is float64 of shape (10, 4, 4)", "must be uint8"]),
    "numbers that are none": (saved(images=GREY, labels=np.full(10, np.nan)), ["labels of train", "must be finite"]),
    "several labels": (saved(images=GREY, labels=LABELS[:, None] * [1, 2]), ["several labels must be 0 or 1"]),
    "names of outputs": (saved(images=GREY, labels=LABELS / 2, class_names=["a", "b"]), ["2 names for 1 outputs"]),
    "channels first": (saved(images=np.zeros((10, 3, 8, 8), np.uint8), labels=LABELS), ["transpose(0, 2, 3, 1)"]),
    "vectors": (saved(images=GREY.reshape(10, 16), labels=LABELS), ["images must be [N, height, width]"]),
    "labels short": (saved(images=GREY, labels=LABELS[1:]), ["of shape (10, 4, 4), and there are 9 labels"]),
    "no label": (saved(images=GREY, labels=LABELS - 1), ["train has the label -1, which stands for none"]),
    "labels without names": (saved(images=GREY, labels=LABELS, class_names=["a"]), ["there are names for 0 to 0"]),
    "a label of the test split": (saved(x_train=GREY, y_train=LABELS, x_test=GREY, y_test=2 * LABELS), [
        "test has the label 2, which no training image has"
    ]),
    "no table": (lambda folder, at: f"parquet:{at}/none", ["there is no such file, nor a folder with files *.parquet"]),
    "a table that is none": (lambda folder, at: f"parquet:{first(folder)}", ["cannot be read as Parquet"]),
    "no image column": (table(label=[0, 1]), ["has no column 'of images'; its columns are label"]),
    "no such column": (
        lambda folder, at: table(image=[b"x"], label=[0])(folder, at) + "#kind", ["has no column 'kind'"]
    ),
    "two columns of labels": (table(image=[b"x"], fine=[0], coarse=[1]), ["could be in the columns fine, coarse"]),
    "a table of no split": (unnamed, ["more.parquet: has no train, test or val in its name"]),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_wrong_data_is_one_line(what, folder, tmp_path, capsys, monkeypatch):
    make, said = WRONG[what]
    name = make(folder, tmp_path)
    assert main([f"{IMP}:dataset={name}", f"--workdir={tmp_path}/runs"]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: [^\n]+\n", error), error
    for text in said:
        assert text in error
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "copies").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config.data.mean=(0.5,0.5)"], ["config.data.mean=(0.5, 0.5): has 2 numbers", "1 channels"]),
        (["--config.data.std=(0.0,)"], ["config.data.std[0]=0.0: must be more than 0"]),
        (["--config.data.mean=(123.7,)"], ["config.data.mean[0]=123.7: must be at most 1"]),
        (["--config.data.std=(58.4,)"], ["config.data.std[0]=58.4: must be at most 1"]),
        (["--config.data.image_size=5000"], ["config.data.image_size=5000: must be at most 4096"]),
        (["--config.data.image_size=16"], ["config.data.image_size=16: digits is as it is registered"]),
        (["--config.data.stream=True"], ["config.data.stream=True: digits is as it is registered"]),
    ],
)
def test_wrong_keys_are_one_line(arguments, said, tmp_path, capsys):
    assert main([f"{IMP}:dataset=digits", *arguments, f"--workdir={tmp_path}/runs"]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: [^\n]+\n", error), error
    assert all(text in error for text in said), error
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("size", [-4, 4097])
def test_a_wrong_size_is_named(size, folder):
    with pytest.raises(ConfigError, match=f"^image_size={size}: must be from 0 to 4096$"):
        data.load(f"folder:{folder}", image_size=size)


@pytest.mark.parametrize("download", [False, True])
def test_the_hub_is_asked_only_for_downloads(download, monkeypatch, tmp_path):
    offline = []

    def load_dataset(name, config):
        offline.append((name, config, library.config.HF_HUB_OFFLINE))
        raise ConnectionError("not there\nat all")

    library = types.SimpleNamespace(config=types.SimpleNamespace(HF_HUB_OFFLINE=False), load_dataset=load_dataset)
    monkeypatch.setitem(sys.modules, "datasets", library)
    with pytest.raises(DataError, match=r"hf:me/mine:part: cannot be loaded \(not there at all\)") as error:
        data.load("hf:me/mine:part#kind", download=download)
    assert offline == [("me/mine", "part", not download)]
    assert ("--config.data.download=True" in str(error.value)) == (not download)
    assert not library.config.HF_HUB_OFFLINE


def test_the_library_of_the_hub_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match="needs datasets, which is not installed; run `pip install datasets`"):
        data.load("hf:me/mine")


GOOD = data.Split(np.zeros((4, 2, 2, 1), np.uint8), np.zeros(4, np.int32))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([GOOD, GOOD], r"gave \[Split\(.*; a source gives a dictionary of the splits train, test, or None"),
        ({"train": GOOD}, r"gave \['train'\]; a source gives a dictionary of the splits train, test"),
        ({"train": GOOD.images, "test": GOOD}, r"'train' has array\(.*, which is no data.Split\(images, labels\)"),
        ({"train": GOOD, "test": (GOOD.images, [0] * 4)}, r"'test' has images uint8 .* and labels \[0, 0, 0, 0\]"),
        ({"train": GOOD, "test": GOOD._replace(labels=np.zeros(4))}, r"labels float64 \(4,\); expected .* int32"),
        ({"train": GOOD, "test": GOOD._replace(images=np.zeros((4, 2, 2)))}, r"images float64 \(4, 2, 2\) and"),
        ({"train": GOOD, "test": GOOD._replace(labels=np.full(4, 2, np.int32))}, "labels from 2 to 2, expected 0 to 1"),
    ],
)  # fmt: skip
def test_what_readers_give_is_checked(found, said):
    """A registered reader's types and shapes are held against what was registered."""

    def reader(spec, folder):
        return found

    data.register(data.DatasetSpec("mine", "1.0.0", (2, 2, 1), ("a", "b"), 4, 4, sources=(reader,)))
    with pytest.raises(DataError, match=said) as error:
        data.load("mine")
    assert str(error.value).startswith("mine (reader): ")
    assert "\n" not in str(error.value)
