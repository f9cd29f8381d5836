"""Convolutions with sparse kernels in plain JAX: patches of a few rows of the image at a time, then the matmul.

The inputs of a few rows of outputs are laid side by side and multiplied; with strides only those positions that are
used. JAX differentiates all of it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxticket.kernels.backends.xla import matmul
from jaxticket.kernels.epilogue import Epilogue
from jaxticket.kernels.formats.conv_geometry import ConvGeometry
from jaxticket.kernels.formats.sparse_weight import SparseWeight


def xla_conv(x: jax.Array, weight: SparseWeight, epilogue: Epilogue, geometry: ConvGeometry) -> jax.Array:
    """`epilogue(conv(x, weight))` by tiles of rows.

    Args:
        x: [images, height, width, inputs], padded, of the dtype of the weight.
        weight: [height, width, inputs, outputs] as pieces.
        epilogue: applied to each tile [rows of the tile, outputs] of the result, in the dtype of accumulation.
        geometry: of the window.

    Returns:
        [images, height', width', outputs] of the dtype of the epilogue.
    """
    multiply = matmul.row_matmul(weight)
    window, (stride, _), (span, _) = weight.shape[:2], geometry.strides, geometry.span(weight.shape[:2])
    height, width = geometry.positions(x.shape[1:3], window)
    batch = x.shape[0]
    images, rows = _tile(batch, height, width)
    counts = -(-batch // images), -(-height // rows)
    if counts == (1, 1):
        return epilogue(multiply(_patches(x, window, geometry, height, width))).reshape(batch, height, width, -1)
    span += (rows - 1) * stride
    missing = max((counts[1] * rows - rows) * stride + span - x.shape[1], 0)
    x = jnp.pad(x, ((0, counts[0] * images - batch), (0, missing), (0, 0), (0, 0)))
    firsts = np.stack(np.meshgrid(np.arange(counts[0]) * images, np.arange(counts[1]) * rows * stride), axis=-1)
    firsts = firsts.transpose(1, 0, 2).reshape(-1, 2).astype(np.int32)

    def tile(first: jax.Array) -> jax.Array:
        part = lax.dynamic_slice(x, (first[0], first[1], 0, 0), (images, span, *x.shape[2:]))
        return epilogue(multiply(_patches(part, window, geometry, rows, width))).reshape(images, rows, width, -1)

    result = lax.map(tile, jnp.asarray(firsts)).reshape(*counts, images, rows, width, -1)
    result = result.transpose(0, 2, 1, 3, 4, 5).reshape(counts[0] * images, counts[1] * rows, width, -1)
    return result[:batch, :height]


def _patches(images: jax.Array, window: tuple[int, ...], geometry: ConvGeometry, rows: int, width: int) -> jax.Array:
    """The inputs of `rows` rows of `width` outputs, [images * rows * width, window * inputs]."""
    strides, dilation = geometry.strides, geometry.dilation
    shifted = [
        lax.slice(
            images,
            (0, down * dilation[0], right * dilation[1], 0),
            (
                images.shape[0],
                down * dilation[0] + (rows - 1) * strides[0] + 1,
                right * dilation[1] + (width - 1) * strides[1] + 1,
                images.shape[3],
            ),
            (1, *strides, 1),
        )
        for down in range(window[0])
        for right in range(window[1])
    ]
    return jnp.concatenate(shifted, axis=-1).reshape(-1, len(shifted) * images.shape[3])


def _tile(batch: int, height: int, width: int) -> tuple[int, int]:
    """How many images, and rows of outputs of each, make a tile.

    All of them where the device has no use for tiles, and where the batch of an export may be of any size.
    """
    if jax.default_backend() != "cpu" or not isinstance(batch, int):
        return batch, height
    if height * width <= matmul.TILE_ROWS:
        return min(batch, max(1, matmul.TILE_ROWS // (height * width))), height
    strips = -(-height // max(1, matmul.TILE_ROWS // width))
    return 1, -(-height // strips)
