"""Data of one's own is the same whatever form it lies in, is read once, and a change of it is seen."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from jaxticket import data
from jaxticket.core.errors import DataError
from jaxticket.data.dataset_facts import dataset_facts
from jaxticket.data.own import copies, decode
from jaxticket.data.splits import channel_statistics
from jaxticket.experiments import default_config, make_plan, resolve
from tests.data.own.conftest import CLASSES, png

pytestmark = [pytest.mark.feature("data sets")]


def multiset(images, labels):
    return sorted((int(label), image.tobytes()) for image, label in zip(images, labels, strict=True))


@pytest.mark.parametrize("scheme", ["folder", "npz", "parquet", "hf"])
def test_every_scheme_gives_the_same_images(scheme, own_digits, folder, npz, parquet):
    place = {"folder": folder, "npz": npz, "parquet": f"{parquet}#label", "hf": parquet}[scheme]
    if scheme == "hf":
        pytest.importorskip("datasets")
    found = data.load(f"{scheme}:{place}", val_fraction=0)
    assert (found.name, found.class_names, found.val.size) == (f"{scheme}:{place}", CLASSES, 0)
    for split, (images, labels) in own_digits.items():
        kept = getattr(found, split)
        assert (kept.images.dtype, kept.labels.dtype) == (np.uint8, np.int32)
        assert multiset(*kept) == multiset(images, labels)
        assert not np.array_equal(kept.labels, np.sort(kept.labels))  # classes are mixed, for train_fraction
    assert (found.mean, found.std) == channel_statistics(own_digits["train"][0])
    tenth = data.load(f"{scheme}:{place}", val_fraction=0.1, train_fraction=0.5)
    assert (tenth.train.size, tenth.val.size, tenth.mean) == (27, 6, found.mean)


def test_a_second_start_decodes_nothing(folder, old_enough, monkeypatch):
    first = data.load(f"folder:{folder}")
    copies._opened.clear()
    monkeypatch.setattr(decode, "decode_own", None)
    again = data.load(f"folder:{folder}/../digits")
    assert np.array_equal(first.train.images, again.train.images)
    assert (first.content, first.mean) == (again.content, again.mean)


def swap(folder):
    """Two images of different classes change places, with all their sizes and times of modification."""
    one, two = sorted((folder / "train/one").iterdir())[0], sorted((folder / "train/zero").iterdir())[0]
    one.rename(folder / "kept")
    two.rename(one)
    (folder / "kept").rename(two)


def edit(folder):
    path = sorted((folder / "test/one").iterdir())[0]
    image = np.asarray(Image.open(path)).copy()
    image[0, 0] ^= 255
    path.write_bytes(png(image))


def remove(folder):
    next((folder / "train/seven").iterdir()).unlink()


@pytest.mark.parametrize("change", [swap, edit, remove])
def test_changed_images_are_seen(change, folder, old_enough):
    name = f"folder:{folder}"
    for path in folder.rglob("*.png"):
        os.utime(path, (1e9, 1e9))
    before = data.load(name).content
    change(folder)
    assert data.load(name).content != before


def stage_ids(name, tmp_path):
    config = default_config("imp")
    config.data.name, config.levels, config.train.batch_size = str(name), 1, 8
    return {stage.kind: stage.id for stage in reversed(make_plan(*resolve(config), tmp_path).stages)}


def test_stages_follow_the_images_and_not_their_place(folder, tmp_path):
    before = stage_ids(f"folder:{folder}", tmp_path)
    for path in folder.rglob("*.png"):
        path.touch()
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert stage_ids(f"folder:{folder}", tmp_path) == before == stage_ids(f"folder:{moved}", tmp_path)
    swap(folder)
    after = stage_ids(f"folder:{folder}", tmp_path)
    assert {kind for kind in before if before[kind] == after[kind]} == {"init", "mask"}


def test_a_folder_that_cannot_keep_copies_serves(folder, monkeypatch):
    monkeypatch.setenv("JAXTICKET_DATA", "/proc/nowhere")
    assert data.load(f"folder:{folder}").train.size == 54


def test_without_splits_every_class_is_divided(folder, tmp_path):
    whole = tmp_path / "whole"
    shutil.copytree(folder / "train", whole)
    found = data.load(f"folder:{whole}", val_fraction=0)
    assert np.bincount(found.train.labels).tolist() == [16] * 3
    assert np.bincount(found.test.labels).tolist() == [4] * 3
    for label in CLASSES:  # more images take none from the test split
        shutil.copy(next((folder / "test" / label).iterdir()), whole / label / "another.png")
    more = data.load(f"folder:{whole}", val_fraction=0)
    assert len(set(multiset(*found.test)) & set(multiset(*more.test))) >= 9


def test_official_validation_images_are_taken(folder):
    shutil.copytree(folder / "test", folder / "validation")
    found = data.load(f"folder:{folder}", val_fraction=0.1)
    assert (found.train.size, found.val.size, found.test.size) == (60, 18, 18)
    assert multiset(*found.val) == multiset(*found.test)
    assert data.load(f"folder:{folder}", val_fraction=0).val.size == 0
    shutil.rmtree(folder / "test")
    assert [getattr(data.load(f"folder:{folder}"), split).size for split in ("train", "val", "test")] == [54, 6, 18]


def picture(mode, size=(8, 8)):
    """A picture of a mode, whose red is 200, green 100 and blue 50, or whose grey is 120."""
    if mode == "I;16":
        return Image.fromarray(np.full(size[::-1], 120 * 256 + 17, np.uint16))
    if mode in ("1", "L", "LA"):
        return Image.new("L", size, 120).convert(mode)
    colours = Image.new("RGB", size, (200, 100, 50))
    return colours.quantize(4) if mode == "P" else colours.convert(mode)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "RGB", "RGBA", "P", "CMYK"])
def test_images_of_every_mode_become_grey_or_colour(mode, tmp_path):
    for label in "ab":
        for row in range(2):
            path = tmp_path / "set" / label / f"{row}.{'tiff' if mode == 'CMYK' else 'png'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(mode).save(path)
    found = data.load(f"folder:{tmp_path / 'set'}", val_fraction=0)
    value = (120,) if mode in ("L", "LA", "I;16") else (200, 100, 50)
    assert found.train.images.shape == (2, 8, 8, len(value))
    assert (found.train.images == value).all()
    picture("RGB").save(tmp_path / "set" / "a" / "0.png")
    assert data.spec(f"folder:{tmp_path / 'set'}", new=True).image_shape == (8, 8, 3)  # one of them has colour


def test_images_of_any_size_are_scaled_and_cropped(folder):
    picture("L", (20, 12)).save(folder / "train" / "one" / "000.png")
    with pytest.raises(
        DataError, match=r"digits: train/one/000.png: has 12x20 pixels, others 8x8; set config.data.image_s"
    ):
        data.spec(f"folder:{folder}")
    assert data.spec(f"folder:{folder}", image_size=16).image_shape == (16, 16, 1)


def test_photographs_are_turned_as_they_were_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise
    picture("RGB", (10, 6)).save(tmp_path / "held.jpg", exif=exif)
    assert decode.decode_own((tmp_path / "held.jpg").read_bytes()).shape == (10, 6, 3)


def test_streamed_images_are_those_in_memory(folder, own_digits, monkeypatch):
    name = f"folder:{folder}"
    shutil.copytree(folder / "test", folder / "val")
    monkeypatch.setattr(copies, "MOST_IN_MEMORY", 1000)
    with pytest.raises(Exception, match=r"config.data.image_size=0: folder:.* is streamed \(96 images, .* such as 224"):
        data.load(name)
    found = data.load(name, image_size=8)
    spec = data.spec(name, image_size=8)
    assert (spec.stream, spec.image_shape) == (True, (8, 8, 3))
    (batch,) = found.test.in_order(18)
    whole = data.load(name, image_size=8, stream=False)
    assert batch.labels.tolist() == whole.test.labels.tolist()
    assert (found.train.size, found.val.size, found.mean) == (60, 18, 3 * whole.mean)
    part = data.load(name, image_size=8, part="1/3", class_order="shuffled")
    assert (part.train.size, part.class_names) == (
        20,
        data.load(name, part="1/3", class_order="shuffled", stream=False).class_names,
    )
    edit(folder)
    assert data.load(name, image_size=8).content != found.content
    (folder / "train/one/000.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"train/one/000.png: is no image that can be read"):
        list(data.load(name, image_size=8).train.epoch(8, seed=0))


def test_own_constants_are_normalised_with():
    found = data.load("digits", mean=(0.5,), std=(0.25,))
    assert (found.mean, found.std) == ((0.5,), (0.25,))
    assert data.load("digits", std=(0.25,)).mean == data.load("digits").mean


def test_a_scheme_of_ones_own(tmp_path):
    """Whatever a function finds is read again at every start, unless it names the files it is from."""
    count = [20]

    def stripes(place, download):
        labels = np.arange(count[0], dtype=np.int32) % 2
        images = data.LabelledImages(
            labels, list(map(str, range(count[0]))), lambda row: np.full((4, 4, 1), row, np.uint8)
        )
        return data.OwnFiles(place, [], lambda: (("even", "odd"), {"train": images}))

    data.register_scheme(data.DataScheme("stripes", "PLACE", stripes))
    assert data.load("stripes:here").test.size == 4
    count[0] = 30
    assert data.load("stripes:here").test.size == 6


OWN_TARGETS = {
    "numbers": (np.linspace(0, 1, 50), "values", (), (50, 1)),
    "several numbers": (np.ones((50, 3)), "values", (), (50, 3)),
    "several labels": (np.arange(100).reshape(50, 2) % 2, "values", (), (50, 2)),
    "pixels": (np.arange(50 * 64).reshape(50, 8, 8) % 3, "classes", (8, 8), (50, 8, 8)),
}


@pytest.mark.parametrize("kind", OWN_TARGETS)
def test_arrays_may_have_other_targets(kind, tmp_path):
    labels, targets, shape, whole = OWN_TARGETS[kind]
    images = np.arange(50, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8)
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    for _ in range(2):  # from the file, and from its decoded copy
        found = data.load(f"npz:{tmp_path}/own.npz", folder=tmp_path / "data", val_fraction=0.1)
        assert (found.targets, found.target_shape) == (targets, shape)
        assert (found.train.size, found.val.size, found.test.size) == (36, 4, 10)
        rows = found.train.images[:, 0, 0, 0]
        np.testing.assert_array_equal(found.train.labels, labels.reshape(whole)[rows].astype(found.train.labels.dtype))
        assert found.train.labels.dtype == (np.float32 if targets == "values" else np.int32)
        assert {"values": "output", "classes": "class"}[targets] in dataset_facts(found)
