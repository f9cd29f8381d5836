import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxticket.data.splits import channel_statistics, permutation, validation_split

pytestmark = [pytest.mark.feature("data sets"), pytest.mark.smoke]


def test_permutation_is_the_same_for_ever():
    assert permutation(12, 0).tolist() == [11, 3, 2, 1, 8, 6, 0, 7, 4, 10, 5, 9]
    digest = hashlib.sha256(permutation(60_000, 7).astype("<i8").tobytes()).hexdigest()
    assert digest[:16] == "a1fe655b9e361b2e"


@given(n=st.integers(1, 200), data=st.data(), seed=st.integers(0, 2**32))
def test_validation_split_is_a_partition_and_nested(n, data, seed):
    size = data.draw(st.integers(0, n))
    train, val = validation_split(n, size, seed)
    assert len(val) == size
    assert sorted([*train, *val]) == list(range(n))
    assert (np.diff(train) > 0).all()
    assert (np.diff(val) > 0).all()
    smaller = data.draw(st.integers(0, size))
    assert set(validation_split(n, smaller, seed)[1]) <= set(val)


def test_validation_split_depends_on_the_seed():
    assert validation_split(1000, 100, 0)[1].tolist() != validation_split(1000, 100, 1)[1].tolist()


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_channel_statistics_are_numpys(seed, channels):
    images = np.random.default_rng(seed).integers(0, 256, (7, 3, 2, channels)).astype(np.uint8)
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)), rtol=1e-9)


def test_channel_statistics_of_many_blocks():
    images = np.random.default_rng(0).integers(0, 256, (9000, 2, 2, 3)).astype(np.uint8)
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)), rtol=1e-9)


def test_a_constant_channel_can_be_divided_by():
    mean, std = channel_statistics(np.full((2, 3, 3, 1), 255, np.uint8))
    assert (mean, std) == ((1.0,), (1.0,))
