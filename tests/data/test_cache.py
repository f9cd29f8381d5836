import logging

import numpy as np
import pytest

from jaxticket.data.cache import cache_folder, read_cache, write_cache
from jaxticket.data.sources.find import official_splits
from jaxticket.storage import write_manifest

pytestmark = [pytest.mark.feature("data sets")]


@pytest.fixture
def folder(small, place_archives, tmp_path):
    place_archives(tmp_path / "fashion_mnist")
    return tmp_path


@pytest.fixture
def filled(small, folder):
    splits = official_splits(small, folder)
    return folder, splits


def test_the_second_read_is_mapped_from_copy_alone(small, filled):
    folder, first = filled
    for archive in (folder / "fashion_mnist").iterdir():
        archive.unlink()
    second = official_splits(small, folder)
    for split in ("train", "test"):
        for ours, theirs in zip(second[split], first[split], strict=True):
            assert isinstance(ours, np.memmap)
            assert not ours.flags.writeable
            assert ours.dtype == theirs.dtype
            assert np.array_equal(ours, theirs)


def test_it_lives_beside_its_version_without_rubbish(small, filled):
    folder, _ = filled
    cache = folder / "cache" / "fashion_mnist-3.0.1"
    assert cache == cache_folder(small, folder)
    parts = {f"{split}_{part}.npy" for split in ("train", "test") for part in ("images", "labels")}
    assert {path.name for path in cache.iterdir()} == parts | {"manifest.json"}


def truncate(cache):
    path = cache / "train_images.npy"
    path.write_bytes(path.read_bytes()[:-5])


def flip(cache):
    path = cache / "test_labels.npy"
    content = bytearray(path.read_bytes())
    content[-4] ^= 1
    path.write_bytes(content)


def lose(cache):
    (cache / "train_labels.npy").unlink()


def empty(cache):
    (cache / "train_labels.npy").write_bytes(b"")


def other_shape(cache):
    """Whole files, but of another data set: only their shape tells."""
    for split in ("train", "test"):
        with (cache / f"{split}_images.npy").open("wb") as file:
            np.save(file, np.zeros((3, 2, 2, 1), np.uint8))
    write_manifest(cache, [path.name for path in cache.glob("*.npy")], {})


def bad_json(cache):
    (cache / "manifest.json").write_text("{")


def no_mapping(cache):
    (cache / "manifest.json").write_text("[1]")


@pytest.mark.parametrize("damage", [truncate, flip, lose, empty, other_shape, bad_json, no_mapping])
def test_damaged_copy_is_made_again_with_one_warning(small, filled, caplog, damage):
    folder, first = filled
    damage(cache_folder(small, folder))
    with caplog.at_level(logging.WARNING):
        again = official_splits(small, folder)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "damaged" in caplog.text
    assert str(cache_folder(small, folder)) in caplog.text
    assert np.array_equal(again["test"].labels, first["test"].labels)
    caplog.clear()
    mended = read_cache(small, folder)
    assert mended is not None
    assert np.array_equal(mended["train"].images, first["train"].images)
    assert not caplog.records


def test_an_unfinished_copy_is_not_there(small, filled, caplog):
    folder, _ = filled
    (cache_folder(small, folder) / "manifest.json").unlink()
    assert read_cache(small, folder) is None
    assert not caplog.records


def test_folder_that_cannot_be_written_is_only_warning(small, folder, caplog):
    (folder / "cache").write_text("a file where a folder should be")
    splits = official_splits(small, folder)
    assert len(splits["train"].labels) == 300
    assert "no decoded copy could be kept" in caplog.text


def test_write_that_fails_leaves_nothing(small, filled, monkeypatch, caplog):
    folder, splits = filled
    for path in cache_folder(small, folder).iterdir():
        path.unlink()

    def full(file, array, **options):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    write_cache(small, folder, splits)
    assert "No space left on device" in caplog.text
    assert list(cache_folder(small, folder).iterdir()) == []
