import shutil
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from jaxticket import data
from jaxticket.core.errors import ConfigError, DataError
from jaxticket.data.registry import data_folder
from jaxticket.data.sources import archives, find, tfds_folder

pytestmark = [pytest.mark.feature("data sets")]

DEBIAN = Path(data.spec("fashion_mnist").debian_folder)


def test_a_data_set_is_whole_and_read_only():
    digits = data.load("digits", val_fraction=0.25, val_seed=3)
    assert digits.name == "digits"
    assert (digits.num_classes, digits.class_names) == (10, tuple("0123456789"))
    sizes = tuple(len(split.labels) for split in (digits.train, digits.val, digits.test))
    assert sizes == data.spec("digits").split_sizes(0.25) == (1078, 359, 360)
    for images, labels in (digits.train, digits.val, digits.test):
        assert images.dtype == np.uint8
        assert labels.dtype == np.int32
        assert not images.flags.writeable
        assert not labels.flags.writeable


def test_validation_split_follows_its_seed():
    one, same, other = (data.load("digits", val_seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.val.images, same.val.images)
    assert not np.array_equal(one.val.images, other.val.images)
    assert np.array_equal(one.test.images, other.test.images)


def test_no_validation_split():
    digits = data.load("digits", val_fraction=0.0)
    assert len(digits.val.labels) == 0
    assert digits.val.images.shape == (0, 8, 8, 1)
    assert len(digits.train.labels) == 1437


def test_folder_of_data_sets(monkeypatch, tmp_path):
    assert data_folder() == Path.home() / ".cache" / "jaxticket" / "data"
    monkeypatch.setenv("JAXTICKET_DATA", str(tmp_path))
    assert data_folder("") == data_folder(None) == tmp_path
    assert data_folder("~/sets") == Path.home() / "sets"


def test_missing_data_is_one_line_with_remedies(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(DataError) as error:
        data.load("mnist", folder=tmp_path)
    assert str(error.value) == (
        "mnist is not on this machine: put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
        "t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz (11.6 MB in all) into "
        f"{tmp_path}/mnist, or run `jaxticket data prepare mnist --archive PATH --folder {tmp_path}`, "
        "or let 11.6 MB be downloaded with --config.data.download=True "
        "(in Python: download=True)"
    )


def test_missing_data_names_the_debian_package(registered, tmp_path):
    with pytest.raises(DataError, match="or install Debian's dataset-fashion-mnist, or run"):
        data.load("fashion_mnist", folder=tmp_path)


def test_bad_arguments():
    with pytest.raises(ConfigError, match="did you mean 'digits'"):
        data.load("digit")
    with pytest.raises(ConfigError, match=r"val_fraction=1\.5"):
        data.load("digits", val_fraction=1.5)
    with pytest.raises(ConfigError, match="val_seed=-1: must be at least 0"):
        data.load("digits", val_seed=-1)


def test_folder_that_cannot_be_searched_is_one_line(monkeypatch):
    with pytest.raises(DataError) as error:
        data.load("mnist", folder="/" + 300 * "x")
    assert "\n" not in str(error.value)

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(DataError, match=r"cannot be searched for mnist \(.*denied\); choose another folder"):
        data.load("mnist", folder="/elsewhere")


def test_sources_are_tried_in_order(registered, prepared, place_archives, tmp_path, monkeypatch):
    asked = []

    def watch(name, source):
        def watched(spec, folder):
            found = source(spec, folder)
            asked.append((name, found is not None))
            return found

        return watched

    for name, source in {"tfds": tfds_folder.read_prepared, "idx": archives.read_archives}.items():
        monkeypatch.setitem(find.SOURCES, name, watch(name, source))

    place_archives(tmp_path / "fashion_mnist")
    from_idx = data.load("fashion_mnist", folder=tmp_path)
    assert asked == [("tfds", False), ("idx", True)]
    data.load("fashion_mnist", folder=tmp_path)
    assert len(asked) == 2, "the decoded copy comes first"

    shutil.rmtree(tmp_path / "cache")
    shutil.copytree(prepared / "fashion_mnist", tmp_path / "fashion_mnist", dirs_exist_ok=True)
    asked.clear()
    from_tfds = data.load("fashion_mnist", folder=tmp_path)
    assert asked == [("tfds", True)]
    for split in ("train", "val", "test"):
        for ours, theirs in zip(getattr(from_tfds, split), getattr(from_idx, split), strict=True):
            assert np.array_equal(ours, theirs)
    assert (from_tfds.mean, from_tfds.std) == (from_idx.mean, from_idx.std)


def test_damaged_source_is_refused_although_another_is_whole(registered, place_archives, tmp_path):
    own = place_archives(tmp_path / "fashion_mnist")
    place_archives(tmp_path / "downloads" / "manual")
    (own / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8bdamaged")
    with pytest.raises(DataError, match="put an undamaged copy there"):
        data.load("fashion_mnist", folder=tmp_path)


def test_labels_outside_the_classes_are_refused(small, place_archives, tmp_path):
    import dataclasses

    place_archives(tmp_path / "fashion_mnist")
    nine = dataclasses.replace(small, class_names=small.class_names[:9])
    with pytest.raises(DataError, match=r"has the label 9, expected 0 to 8"):
        find.official_splits(nine, tmp_path)


@pytest.mark.skipif(
    not DEBIAN.is_dir(), reason=f"no real Fashion-MNIST: install Debian's dataset-fashion-mnist ({DEBIAN})"
)
def test_the_real_fashion_mnist(tmp_path):
    fashion = data.load("fashion_mnist", folder=tmp_path, val_fraction=0.0)
    assert fashion.train.images.shape == (60_000, 28, 28, 1)
    assert fashion.test.images.shape == (10_000, 28, 28, 1)
    assert np.bincount(fashion.train.labels).tolist() == [6000] * 10
    assert np.bincount(fashion.test.labels).tolist() == [1000] * 10
    # The customary constants of Fashion-MNIST.
    assert fashion.mean == pytest.approx((0.2860,), abs=5e-5)
    assert fashion.std == pytest.approx((0.3530,), abs=5e-5)
    split = data.load("fashion_mnist", folder=tmp_path)
    assert len(split.train.labels) == 54_000
    assert split.val.labels[:20].tolist() == [8, 4, 9, 7, 4, 2, 1, 7, 3, 5, 7, 1, 1, 1, 4, 0, 3, 9, 2, 6]
    assert split.mean == pytest.approx((0.2862139676240867,), rel=1e-15)
