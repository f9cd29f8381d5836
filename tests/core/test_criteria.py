import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.core.criteria import magnitude, random_scores
from jaxticket.core.errors import MaskError

PARAMS = {"a": {"kernel": jnp.array([[-2.0, 0.5], [-0.0, 3.0]])}, "b": {"kernel": jnp.ones((2, 2))}, "c": jnp.ones(3)}
MASK = {"a/kernel": jnp.array([[True, False], [True, True]]), "b/kernel": jnp.ones((2, 2), bool)}
KEY = jax.random.key(3)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_magnitude_is_the_float32_absolute_value_of_the_masks_leaves(dtype) -> None:
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), PARAMS)
    scores = magnitude(params, MASK)
    assert list(scores) == ["a/kernel", "b/kernel"]
    assert scores["a/kernel"].dtype == jnp.float32
    np.testing.assert_array_equal(scores["a/kernel"], [[2, 0.5], [0, 3]])


def test_magnitude_keeps_the_order_of_float64() -> None:
    with jax.enable_x64(True):
        scores = magnitude({"w": jnp.array([1.0, 1.0 + 1e-12], jnp.float64)}, {"w": jnp.ones(2, bool)})
        assert scores["w"].dtype == jnp.float64
        assert scores["w"][0] < scores["w"][1]


def test_random_scores_differ_between_leaves_and_keys_and_repeat() -> None:
    scores = random_scores(PARAMS, MASK, KEY)
    assert scores["a/kernel"].dtype == jnp.float32
    assert not np.array_equal(scores["a/kernel"], scores["b/kernel"])
    again, other = random_scores(PARAMS, MASK, KEY), random_scores(PARAMS, MASK, jax.random.key(4))
    for path in MASK:
        np.testing.assert_array_equal(scores[path], again[path])
        assert not np.array_equal(scores[path], other[path])


def test_random_scores_of_a_leaf_depend_on_its_path_only() -> None:
    alone = random_scores(PARAMS, {"b/kernel": MASK["b/kernel"]}, KEY)
    np.testing.assert_array_equal(alone["b/kernel"], random_scores(PARAMS, MASK, KEY)["b/kernel"])
    # Pinned: the hash of a path is the same in every process and version.
    expected = jax.random.uniform(jax.random.fold_in(KEY, np.uint32(0x22090AD2)), (2, 2))
    np.testing.assert_array_equal(alone["b/kernel"], expected)


def test_random_scores_are_uniform() -> None:
    shape = (64, 256)
    scores = random_scores({"w": jnp.zeros(shape)}, {"w": jnp.ones(shape, bool)}, KEY)["w"]
    assert 0 <= float(scores.min()) < 0.001
    assert 0.999 < float(scores.max()) < 1
    assert abs(float(scores.mean()) - 0.5) < 0.01


@pytest.mark.parametrize("criterion", [magnitude, lambda params, mask: random_scores(params, mask, KEY)])
def test_a_mask_that_does_not_fit_is_named(criterion) -> None:
    with pytest.raises(MaskError, match="'d/kernel'"):
        criterion(PARAMS, {"d/kernel": jnp.ones((2, 2), bool)})
