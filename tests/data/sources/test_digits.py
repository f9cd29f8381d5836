import hashlib

import numpy as np
import pytest

from jaxticket import data
from jaxticket.core.errors import DataError
from jaxticket.data.sources.digits import read_digits
from jaxticket.data.splits import permutation, validation_split

pytestmark = [pytest.mark.feature("data sets"), pytest.mark.smoke]


def test_shapes_values_and_counts():
    splits = read_digits()
    assert splits["train"].images.shape == (1437, 8, 8, 1)
    assert splits["test"].images.shape == (360, 8, 8, 1)
    for images, labels in splits.values():
        assert images.dtype == np.uint8
        assert labels.dtype == np.int32
    values = np.unique(splits["train"].images)
    assert values.tolist() == [round(255 * level / 16) if level != 8 else 128 for level in range(17)]
    everything = np.concatenate([split.labels for split in splits.values()])
    pixels = np.concatenate([split.images for split in splits.values()])
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == "6738fdeba5d09dd4"
    assert np.bincount(everything).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_test_split_is_last_part_of_fixed_permutation():
    test = np.sort(permutation(1797, 0)[1437:])
    assert test[:12].tolist() == [4, 5, 9, 10, 12, 16, 26, 27, 37, 38, 45, 49]
    assert read_digits()["test"].labels[:20].tolist() == [
        4,
        5,
        9,
        0,
        2,
        6,
        6,
        7,
        9,
        8,
        3,
        0,
        7,
        6,
        5,
        9,
        2,
        0,
        4,
        1,
    ]


def test_validation_indices_are_golden():
    train, val = validation_split(1437, 144, 0)
    assert val[:12].tolist() == [2, 3, 11, 13, 20, 48, 53, 59, 62, 92, 108, 111]
    digits = data.load("digits")
    official = read_digits()["train"]
    assert (digits.val.images == official.images[val]).all()
    assert (digits.train.labels == official.labels[train]).all()


def test_mean_and_std_are_of_training_images():
    digits = data.load("digits")
    assert digits.mean == pytest.approx((0.3047158625631227,), rel=1e-15)
    assert digits.std == pytest.approx((0.37526554145275276,), rel=1e-15)
    assert digits.mean != data.load("digits", val_fraction=0.0).mean


def test_they_are_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed to compare with")
    theirs = datasets.load_digits()
    test = np.sort(permutation(1797, 0)[1437:])
    ours = read_digits()["test"]
    assert (ours.labels == theirs.target[test]).all()
    assert (np.round(ours.images[..., 0] / 255 * 16) == theirs.images[test]).all()


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_damaged_file_is_one_line(tmp_path, content):
    path = tmp_path / "digits.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="install jaxticket again"):
        read_digits(path)


def test_the_notice_travels_with_the_data():
    from importlib import resources

    notice = (resources.files("jaxticket.data.sources") / "digits-NOTICE.txt").read_text()
    assert "CC BY 4.0" in notice
    assert "10.24432/C50P49" in notice
