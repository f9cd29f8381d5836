"""Some of the classes, some of the images, some of the labels wrong."""

import numpy as np
import pytest

from jaxticket import data
from jaxticket.core.errors import ConfigError
from jaxticket.data.splits import Split
from jaxticket.data.subsets import class_parts, noisy_labels, parse_part, take_classes

pytestmark = [pytest.mark.feature("data sets")]


@pytest.mark.parametrize(("classes", "parts"), [(10, 2), (100, 2), (200, 2), (10, 5), (10, 1)])
def test_contiguous_parts_of_colt(classes, parts):
    """COLT, check 13: K=10, P=2 gives [0, 5) and [5, 10); the union of the parts is the whole."""
    found = class_parts(classes, parts)
    assert [list(part) for part in found] == [
        list(range(i * classes // parts, (i + 1) * classes // parts)) for i in range(parts)
    ]


def test_shuffled_parts_hold_every_class_once():
    found = class_parts(10, 2, seed=3)
    assert sorted(np.concatenate(found)) == list(range(10))
    assert list(found[0]) != list(range(5))
    assert np.array_equal(found[0], class_parts(10, 2, seed=3)[0])
    assert not np.array_equal(found[0], class_parts(10, 2, seed=4)[0])


def test_parts_that_lose_a_class_are_refused():
    """COLT, check 13: K=100, P=3 would lose class 99."""
    with pytest.raises(ConfigError, match="parts=3: must divide the 100 classes"):
        class_parts(100, 3)


def test_taken_classes_are_relabelled_in_order_of_part():
    split = Split(np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1), np.array([0, 3, 1, 2, 3, 0, 1, 3], np.int32))
    taken = take_classes(split, np.array([3, 1]))
    assert taken.images.ravel().tolist() == [1, 2, 4, 6, 7]
    assert taken.labels.tolist() == [0, 1, 0, 1, 0]
    assert taken.labels.dtype == np.int32


def test_parts_of_digits_together_are_the_whole():
    whole = data.load("digits")
    parts = [data.load("digits", part=f"{i}/2") for i in (1, 2)]
    for name in ("train", "val", "test"):
        split = getattr(whole, name)
        seen = {image.tobytes(): label for image, label in zip(split.images, split.labels, strict=True)}
        for i, part in enumerate(parts):
            taken = getattr(part, name)
            assert set(taken.labels) == set(range(5))
            for image, label in zip(taken.images, taken.labels, strict=True):
                assert seen[image.tobytes()] == label + 5 * i
        assert sum(getattr(part, name).size for part in parts) == split.size
    assert parts[1].class_names == tuple("56789")
    assert (parts[0].num_classes, parts[0].mean) == (5, whole.mean)


def test_shuffled_parts_are_named_after_their_classes():
    part = data.load("digits", part="1/5", class_order="shuffled", class_seed=1)
    assert part.class_names == tuple(str(label) for label in class_parts(10, 5, seed=1)[0])


def test_train_fraction_is_beginning_and_leaves_validation_alone():
    whole, tenth = data.load("digits"), data.load("digits", train_fraction=0.1)
    assert tenth.train.size == round(0.1 * whole.train.size)
    assert np.array_equal(tenth.train.images, whole.train.images[: tenth.train.size])
    assert np.array_equal(tenth.val.images, whole.val.images)
    assert tenth.mean == whole.mean


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_noise_changes_exactly_its_share_of_the_labels(share):
    labels = np.arange(1000, dtype=np.int32) % 10
    noisy = noisy_labels(labels, share, 10, seed=0)
    assert (noisy != labels).sum() == round(share * 1000)
    assert noisy.dtype == np.int32
    assert noisy.min() >= 0
    assert noisy.max() < 10
    if share == 1:  # uniform over the nine other classes
        steps = np.bincount((noisy - labels) % 10, minlength=10)
        assert steps[0] == 0
        assert steps[1:].min() > 60
    assert np.array_equal(noisy, noisy_labels(labels, share, 10, seed=0))


def test_noise_is_in_training_labels_only():
    clean, noisy = data.load("digits"), data.load("digits", label_noise=0.3, noise_seed=2)
    assert (noisy.train.labels != clean.train.labels).sum() == round(0.3 * clean.train.size)
    assert np.array_equal(noisy.val.labels, clean.val.labels)
    assert np.array_equal(noisy.test.labels, clean.test.labels)
    assert np.array_equal(noisy.train.images, clean.train.images)


@pytest.mark.parametrize("text", ["", "half", "0/2", "3/2", "1/0", "1-2", "-1/2", "1/2/3"])
def test_parts_that_mean_nothing(text):
    with pytest.raises(ConfigError, match="must be 'full', or such as '1/2'"):
        parse_part(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"part": "1/3"}, "10 classes of digits make no 3 equal parts; use 2, 5, 10 parts"),
        ({"train_fraction": 0.0}, "train_fraction=0.0: must be in"),
        ({"train_fraction": 1e-5}, "train_fraction=1e-05: must be in"),
        ({"part": "1/10", "label_noise": 2.0}, "label_noise=2.0"),
    ],
)
def test_what_cannot_be_loaded(arguments, message):
    with pytest.raises(ConfigError, match=message):
        data.load("digits", **arguments)
