"""Convolutions with a sparse kernel: patches of a few rows of the image at a time, then the product of matrices."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxticket.core.errors import MaskError
from jaxticket.kernels import backends, xla
from jaxticket.kernels.finish import Activation
from jaxticket.kernels.matmul import block_matmul, finisher
from jaxticket.kernels.pieces import SparseWeight

Padding = str | int | Sequence[int] | Sequence[tuple[int, int]]


def block_conv(
    x: Any,
    w: SparseWeight,
    *,
    strides: int | tuple[int, int] = 1,
    padding: Padding = "SAME",
    dilation: int | tuple[int, int] = 1,
    bias: Any = None,
    activation: Activation = None,
    backend: str | None = None,
) -> jax.Array:
    """`activation(conv(x, w) + bias)` of images with a sparse kernel; only what is stored is computed.

    A window of 1x1 is a product of matrices. For larger ones the inputs of a few rows of outputs are laid side by side
    and multiplied; with strides only those positions that are used. It differentiates like `block_matmul`.

    Args:
        x: float array [batch, height, width, inputs].
        w: `BlockSparse` or `DenseGroups` of a kernel [height, width, inputs, outputs].
        strides: of the window, one number or (height, width).
        padding: 'SAME', 'VALID', or zeros on each side: a number, one for each axis, or a (low, high) pair for each.
        dilation: distance of the window's positions, one number or (height, width).
        bias: float array [outputs], or None.
        activation: 'relu', a function that works on every element by itself, or None.
        backend: as for `block_matmul`.

    Returns:
        [batch, height', width', outputs], of the dtype to which `x` and `w` promote.

    Raises:
        MaskError: shapes that do not fit together.
        ConfigError: an unknown activation, or a backend that is not available.
    """
    if len(w.shape) != 4 or jnp.ndim(x) != 4 or jnp.shape(x)[-1] != w.shape[2]:
        raise MaskError(
            f"x has shape {jnp.shape(x)}, the kernel {w.shape}; "
            "give images [batch, height, width, inputs] and a kernel [height, width, inputs, outputs]"
        )
    finish = finisher(x, w, bias, activation)
    dtype = finish.dtype
    window, strides, dilation = w.shape[:2], _pair(strides), _pair(dilation)
    x = jnp.asarray(x, dtype)
    sides = sides_of(padding, x.shape[1:3], window, strides, dilation)
    x = jnp.pad(x, ((0, 0), *sides, (0, 0)))
    if window == (1, 1):
        return block_matmul(x[:, :: strides[0], :: strides[1]], w, bias=bias, activation=activation, backend=backend)
    backends.checked(backend)  # none has convolutions of its own: they take the path below
    product = xla.row_product(jax.tree.map(lambda values: values.astype(dtype), w))
    spans = [(size - 1) * far + 1 for size, far in zip(window, dilation, strict=True)]
    height, width = ((x.shape[axis + 1] - spans[axis]) // strides[axis] + 1 for axis in (0, 1))
    if min(height, width) < 1:
        raise MaskError(f"images of {x.shape[1:3]} with padding are smaller than the window of {tuple(spans)}")

    def patches(images: jax.Array, rows: int) -> jax.Array:
        """The inputs of `rows` rows of outputs, [outputs, window * inputs]."""
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

    batch = x.shape[0]
    images, rows = _tile(batch, height, width)
    counts = -(-batch // images), -(-height // rows)
    if counts == (1, 1):
        return finish(product(patches(x, height))).reshape(batch, height, width, -1)
    span = (rows - 1) * strides[0] + spans[0]
    missing = max((counts[1] * rows - 1) * strides[0] + spans[0] - x.shape[1], 0)
    x = jnp.pad(x, ((0, counts[0] * images - batch), (0, missing), (0, 0), (0, 0)))
    firsts = np.stack(np.meshgrid(np.arange(counts[0]) * images, np.arange(counts[1]) * rows * strides[0]), axis=-1)
    firsts = firsts.transpose(1, 0, 2).reshape(-1, 2).astype(np.int32)

    def tile(first: jax.Array) -> jax.Array:
        part = lax.dynamic_slice(x, (first[0], first[1], 0, 0), (images, span, *x.shape[2:]))
        return finish(product(patches(part, rows))).reshape(images, rows, width, -1)

    result = lax.map(tile, jnp.asarray(firsts)).reshape(*counts, images, rows, width, -1)
    result = result.transpose(0, 2, 1, 3, 4, 5).reshape(counts[0] * images, counts[1] * rows, width, -1)
    return result[:batch, :height]


def sides_of(
    padding: Padding,
    image: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
) -> list[tuple[int, int]]:
    """Zeros before and behind each of the two axes of an image.

    Raises:
        MaskError: a padding of another kind.
    """
    if isinstance(padding, str) and padding in ("SAME", "VALID"):
        spans = [(size - 1) * far + 1 for size, far in zip(window, dilation, strict=True)]
        return list(lax.padtype_to_pads(image, spans, strides, padding))
    try:
        if isinstance(padding, str):
            raise TypeError
        axes = (padding, padding) if isinstance(padding, int) else padding
        pairs = [(side, side) if isinstance(side, int) else (int(side[0]), int(side[1])) for side in axes]
    except (TypeError, IndexError, ValueError):
        pairs = []
    if len(pairs) != 2 or min(min(pair) for pair in pairs) < 0:
        raise MaskError(
            f"padding={padding!r}: must be 'SAME', 'VALID', a number, or one or two numbers for each of two axes"
        )
    return pairs


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _tile(batch: int, height: int, width: int) -> tuple[int, int]:
    """How many images, and rows of outputs of each, make a tile; all of them where the device has no use for tiles."""
    if jax.default_backend() != "cpu":
        return batch, height
    if height * width <= xla.TILE_ROWS:
        return min(batch, max(1, xla.TILE_ROWS // (height * width))), height
    strips = -(-height // max(1, xla.TILE_ROWS // width))
    return 1, -(-height // strips)
