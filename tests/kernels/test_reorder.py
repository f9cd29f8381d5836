"""Channels put in an order in which they fill few blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxticket as jt
from jaxticket.kernels.convert.reorder import reorder
from tests.kernels.test_sparsify import BLOCK, IDEAL, Net, images, linen_net, nnx_net

pytestmark = [pytest.mark.feature("sparse kernels")]


def mlp(params, x):
    return jnp.tanh(x @ params["fc1"] + params["bias"][None]) @ params["fc2"]


def shuffled_blocks(seed=0):
    """64 hidden units that make blocks in both layers, out of order, and the blocks that there are in order."""
    random = np.random.default_rng(seed)
    grids = [np.eye(8, dtype=bool)[:, random.permutation(8)], random.random((16, 2)) < 0.3]
    first = np.kron(grids[0], np.ones(BLOCK, bool))  # 32 inputs, 64 units
    second = np.kron(grids[1], np.ones(BLOCK, bool))  # 64 units, 16 outputs
    units = random.permutation(64)
    kept = {"fc1": first[:, units], "fc2": second[units]}
    params = {path: jnp.asarray(np.where(array, random.standard_normal(array.shape), 0), jnp.float32)
              for path, array in kept.items()}  # fmt: skip
    params["bias"] = jnp.asarray(random.standard_normal(64), jnp.float32)
    return params, int(sum(grid.sum() for grid in grids))


def test_blocks_that_were_shuffled_are_found_again():
    params, blocks = shuffled_blocks()
    x = jnp.asarray(np.random.default_rng(1).standard_normal((5, 32)), jnp.float32)
    found, (before, after) = reorder(mlp, params, ["fc1", "fc2"], x, BLOCK)
    assert before > 1.5 * blocks
    assert after <= 1.1 * blocks
    np.testing.assert_allclose(mlp(found, x), mlp(params, x), atol=1e-5)
    for path in ("fc1", "fc2", "bias"):  # the same numbers, elsewhere
        np.testing.assert_array_equal(np.sort(found[path], axis=None), np.sort(params[path], axis=None))


def test_nothing_is_moved_that_would_not_gain():
    params = {"fc1": jnp.ones((32, 64)), "fc2": jnp.ones((64, 16)), "bias": jnp.arange(64.0)}
    found, blocks = reorder(mlp, params, ["fc1", "fc2"], jnp.ones((5, 32)), BLOCK)
    assert blocks == (96, 96)
    np.testing.assert_array_equal(found["bias"], params["bias"])


@pytest.mark.parametrize("kind", ["linen", "nnx"])
def test_a_reordered_network_computes_the_same(kind):
    """Through a normalisation, a convolution in groups and a flatten; the report says how many blocks that saves."""
    model, variables = (Net(), linen_net()[1]) if kind == "linen" else (nnx_net(), None)
    params = variables["params"] if kind == "linen" else nnx.state(model, nnx.Param)
    random = np.random.default_rng(0)
    full = jt.full_mask(params, [(r"(conv2|fc1)/kernel", True), (r".*", False)])
    mask = {path: np.broadcast_to(random.random((*(1,) * (kept.ndim - 2), *kept.shape[-2:])) < 0.15, kept.shape).copy()
            for path, kept in full.items()}  # fmt: skip
    how = {"block": BLOCK, "timings": IDEAL, "min_speedup": 0, "shrink": False}
    plain = jt.sparsify(model, variables, mask, images(), **how)
    found = jt.sparsify(model, variables, mask, images(), reorder=True, **how)
    before, after = found.report.reordered
    assert after < before
    assert found.report.bytes[1] < plain.report.bytes[1]
    assert f"channels in order: {before:,} -> {after:,} blocks" in str(found.report)
    expected = plain.apply(plain.variables, images())
    np.testing.assert_allclose(jax.jit(found.apply)(found.variables, images()), expected, atol=1e-5)
