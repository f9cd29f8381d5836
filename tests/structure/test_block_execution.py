"""Blocks are all that a masked layer computes: gather, multiply and scatter give the same outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxticket as jt
from jaxticket.structure.matrix import from_matrix, to_matrix

pytestmark = [pytest.mark.feature("refill and regroup")]

NHWC = ("NHWC", "HWIO", "NHWC")


def by_blocks(x, kernel, blocks, **window) -> np.ndarray:
    """A convolution as the sum over blocks of dense matrix products on gathered patches, [batch, y, x, outputs]."""
    patches = lax.conv_general_dilated_patches(x, kernel.shape[:2], dimension_numbers=NHWC, **window)
    columns, matrix = np.asarray(patches, np.float64), to_matrix(kernel).astype(np.float64)
    out = np.zeros((*columns.shape[:-1], kernel.shape[-1]))
    for rows, taken in blocks:
        out[..., rows] += columns[..., taken] @ matrix[np.ix_(rows, taken)].T
    return out


def random_case(seed, outputs):
    random = np.random.default_rng(seed)
    x = jnp.asarray(random.normal(size=(2, 6, 7, 4)), jnp.float32)
    return random, x, random.normal(size=(3, 3, 4, outputs)).astype(np.float32)


WINDOWS = [
    {"window_strides": (1, 1), "padding": "SAME"},
    {"window_strides": (2, 1), "padding": ((1, 1), (0, 2))},
]


def masked(x, kernel, mask, window) -> jax.Array:
    weights = jnp.where(mask, jnp.asarray(kernel), jnp.zeros((), jnp.float32))
    return lax.conv_general_dilated(x, weights, dimension_numbers=NHWC, **window)


@pytest.mark.parametrize("window", WINDOWS, ids=["same", "strided"])
def test_any_block_list_is_exact(window):
    """Exactness of block execution: 12 x 36, a MAC share of 29/432, and HWIO as the matrix view."""
    random, x, kernel = random_case(0, 12)
    rows = random.permutation(12)
    blocks = [(rows[:3], random.permutation(36)[:5]), (rows[3:5], random.permutation(36)[:7])]
    mask = np.zeros((12, 36), bool)
    for block in blocks:
        mask[np.ix_(*block)] = True
    assert mask.sum() / mask.size == 29 / 432
    expected = masked(x, kernel, from_matrix(mask, kernel.shape), window)
    np.testing.assert_allclose(by_blocks(x, kernel, blocks, **window), expected, atol=1e-5)


@pytest.mark.parametrize("rule", ["row_budget", "budget", "until_empty"])
def test_regrouped_layers_are_exact(rule):
    random, x, kernel = random_case(1, 24)
    mask = {"conv/kernel": jnp.asarray(random.random(kernel.shape) < 0.3)}
    how = {"rule": "min_count", "until_empty": True, "t2": 4} if rule == "until_empty" else {"rule": rule}
    found = jt.regroup(mask, groups=3, min_rows=4, **how)
    assert len(found.blocks["conv/kernel"]) >= 3
    expected = masked(x, kernel, found.mask["conv/kernel"], WINDOWS[0])
    out = by_blocks(x, kernel, found.blocks["conv/kernel"], **WINDOWS[0])
    np.testing.assert_allclose(out, expected, atol=1e-5)
