"""Convolutions with sparse kernels against dense ones: windows, strides, paddings, tiles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxticket.core.errors import MaskError
from jaxticket.kernels import BlockSparse, DenseGroups, block_conv
from jaxticket.kernels.backends.xla import matmul as xla_matmul

pytestmark = [pytest.mark.feature("sparse kernels")]

NHWC = ("NHWC", "HWIO", "NHWC")
WINDOWS = {
    "same": ((3, 3), {}),
    "stride 2": ((3, 3), {"strides": 2, "padding": 1}),
    "1x1": ((1, 1), {"padding": "VALID"}),
    "1x1 stride 2": ((1, 1), {"strides": (2, 2), "padding": 0}),
    "uneven": ((2, 3), {"strides": (2, 1), "padding": ((1, 0), (0, 2)), "dilation": (1, 2)}),
}
# Everything at once; several images to a tile; strips of one image, the last one cut off.
TILES = {"one tile": 10_000, "images": 130, "strips": 18}


def case(window, seed=0):
    """Blocks of 4 x 8 on 6 channels, so that they reach across positions of the window."""
    random = np.random.default_rng(seed)
    shape = (*window, 6, 20)
    grid = random.random((-(-np.prod(shape[:3]) // 4), 3)) < 0.5
    mask = np.kron(grid, np.ones((4, 8), bool)).astype(bool)[: np.prod(shape[:3]), :20].reshape(shape)
    x = jnp.asarray(random.standard_normal((5, 9, 7, 6)), jnp.float32)
    return x, jnp.asarray(random.standard_normal(shape), jnp.float32), mask


def dense(x, kernel, mask, how):
    with jax.enable_x64():
        strides, dilation, padding = (how.get(k, d) for k, d in (("strides", 1), ("dilation", 1), ("padding", "SAME")))
        pair = [(v, v) if isinstance(v, int) else v for v in (strides, dilation)]
        sides = ((padding, padding),) * 2 if isinstance(padding, int) else padding
        x, kernel = np.asarray(x, np.float64), np.where(mask, np.asarray(kernel, np.float64), 0)
        return np.asarray(
            lax.conv_general_dilated(x, kernel, pair[0], sides, rhs_dilation=pair[1], dimension_numbers=NHWC)
        )


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("window", WINDOWS)
def test_convolutions_equal_float64(window, tile, monkeypatch):
    monkeypatch.setattr(xla_matmul, "TILE_ROWS", TILES[tile])
    shape, how = WINDOWS[window]
    x, kernel, mask = case(shape)
    sparse = BlockSparse.from_dense(kernel, mask, (4, 8))
    found = jax.jit(lambda x, w: block_conv(x, w, **how))(x, sparse)
    np.testing.assert_allclose(found, dense(x, kernel, mask, how), atol=2e-5)


def test_groups_bias_and_activation():
    x, kernel, mask = case((3, 3))
    sparse, bias = DenseGroups.from_dense(kernel, mask), jnp.linspace(-2.0, 2.0, 20)
    found = jax.jit(lambda x, w: block_conv(x, w, bias=bias, activation="relu"))(x, sparse)
    expected = np.maximum(dense(x, kernel, mask, {}) + np.asarray(bias, np.float64), 0)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_gradients_equal_those_of_the_masked_convolution(monkeypatch):
    monkeypatch.setattr(xla_matmul, "TILE_ROWS", 18)
    x, kernel, mask = case((3, 3))
    sparse = BlockSparse.from_dense(kernel, mask, (4, 8))

    def masked(x, w):
        return lax.conv_general_dilated(
            x, jnp.where(mask, w, jnp.zeros_like(w)), (2, 2), "SAME", dimension_numbers=NHWC
        )

    expected = jax.jit(jax.grad(lambda x, w: masked(x, w).var(), (0, 1)))(x, kernel)
    found = jax.jit(jax.grad(lambda x, w: block_conv(x, w, strides=2).var(), (0, 1)))(x, sparse)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(found[1].to_dense(), expected[1], atol=1e-6)


def test_errors_name_what_is_wrong():
    x, kernel, mask = case((3, 3))
    sparse = BlockSparse.from_dense(kernel, mask)
    with pytest.raises(MaskError, match="give images"):
        block_conv(x[..., :3], sparse)
    with pytest.raises(MaskError, match="padding='CIRCULAR'"):
        block_conv(x, sparse, padding="CIRCULAR")
    with pytest.raises(MaskError, match="smaller than the window"):
        block_conv(x[:, :2], sparse, padding="VALID")
