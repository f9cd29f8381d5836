"""Masks that lose weights and gain others: SET and RigL."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.core.errors import MaskError
from jaxticket.core.regrow import random_order, regrow

pytestmark = [pytest.mark.feature("schedules and gradual pruning")]

RNG = np.random.default_rng(0)
SHAPES = {"b/kernel": (20, 30), "a/kernel": (3, 3, 4, 5)}
MASK = {path: jnp.asarray(RNG.random(shape) < 0.3) for path, shape in SHAPES.items()}
PARAMS = {path: jnp.asarray(RNG.normal(size=shape), jnp.float32) for path, shape in SHAPES.items()}
DROP = {path: jnp.abs(leaf) for path, leaf in PARAMS.items()}
GROW = {path: jnp.asarray(RNG.random(shape), jnp.float32) for path, shape in SHAPES.items()}


def by_hand(kept, drop, grow, rate):
    kept, drop, grow = (np.asarray(array).ravel() for array in (kept, drop, grow))
    number = round(rate * int(kept.sum()))
    alive = np.flatnonzero(kept)
    left = kept.copy()
    left[alive[np.argsort(drop[alive], kind="stable")][:number]] = False
    lacking = np.flatnonzero(~left)
    left[lacking[np.argsort(-grow[lacking], kind="stable")][:number]] = True
    return left


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_lowest_go_and_highest_come_in_every_leaf(rate):
    new = regrow(MASK, DROP, GROW, rate)
    for path in SHAPES:
        expected = by_hand(MASK[path], DROP[path], GROW[path], rate)
        assert np.array_equal(np.asarray(new[path]).ravel(), expected)
        assert new[path].sum() == MASK[path].sum()


def test_under_jit_and_vmap_with_a_traced_rate():
    eager = regrow(MASK, DROP, GROW, 0.25)
    compiled = jax.jit(regrow)(MASK, DROP, GROW, jnp.float32(0.25))
    stacked = jax.vmap(regrow, in_axes=(None, None, None, 0))(MASK, DROP, GROW, jnp.asarray([0.25, 0.5], jnp.float32))
    for path in SHAPES:
        assert np.array_equal(eager[path], compiled[path])
        assert np.array_equal(eager[path], stacked[path][0])
        assert not np.array_equal(eager[path], stacked[path][1])


def test_dropped_weight_may_come_back():
    full = {path: jnp.ones(shape, bool) for path, shape in SHAPES.items()}
    assert all(kept.all() for kept in regrow(full, DROP, GROW, 0.5).values())


def test_nan_scores_are_named():
    broken = {**GROW, "a/kernel": jnp.full(SHAPES["a/kernel"], jnp.nan)}
    with pytest.raises(MaskError, match="'a/kernel' has NaN scores"):
        regrow(MASK, DROP, broken, 0.3)


def test_random_order_is_uniform_and_by_path():
    scores = random_order(MASK, jax.random.key(0))
    assert {path: score.shape for path, score in scores.items()} == SHAPES
    values = np.concatenate([np.asarray(score).ravel() for score in scores.values()])
    assert abs(values.mean() - 0.5) < 0.05
    again = random_order(dict(reversed(MASK.items())), jax.random.key(0))
    assert all(np.array_equal(scores[path], again[path]) for path in SHAPES)
