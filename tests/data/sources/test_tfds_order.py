import numpy as np
import pytest

from jaxticket.data.sources.tfds_order import hash_order

pytestmark = [pytest.mark.feature("data sets")]


def test_it_is_the_order_of_tensorflow_datasets():
    from tensorflow_datasets.core import hashing

    for split in ("train", "test"):
        hasher = hashing.Hasher(split)
        theirs = sorted(range(500), key=hasher.hash_key)
        assert hash_order(split, 500).tolist() == theirs


def test_it_is_golden_and_differs_between_splits():
    assert hash_order("train", 60_000)[:8].tolist() == [16399, 1680, 47917, 17307, 27051, 54784, 50543, 48736]
    assert hash_order("test", 10_000)[:8].tolist() == [9933, 5669, 163, 6686, 4747, 131, 9167, 1579]
    assert np.array_equal(np.sort(hash_order("test", 1000)), np.arange(1000))


def test_any_key_is_ordered_as_tensorflow_datasets_does():
    from tensorflow_datasets.core import hashing

    keys = [f"n0144{i}_{7 * i}.JPEG" for i in range(200)] + ["folder\\windows.npz3"]
    hasher = hashing.Hasher("validation")
    assert [keys[row] for row in hash_order("validation", keys)] == sorted(keys, key=hasher.hash_key)
    assert np.array_equal(hash_order("test", 50), hash_order("test", list(range(50))))
