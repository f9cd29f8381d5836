"""Convolutions with a sparse kernel, with bias and activation."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxticket.core.checks import check_whole
from jaxticket.core.errors import MaskError
from jaxticket.kernels.backends import dispatch
from jaxticket.kernels.epilogue import Activation
from jaxticket.kernels.formats.conv_geometry import Moves
from jaxticket.kernels.formats.sparse_weight import SparseWeight
from jaxticket.kernels.matmul import block_matmul, finisher

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

    A window of 1x1 is a product of matrices. It differentiates like `block_matmul`.

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
    finish = finisher(x, w, bias, activation)
    if len(w.shape) != 4 or jnp.ndim(x) != 4 or jnp.shape(x)[-1] != w.shape[2]:
        raise MaskError(
            f"x has shape {jnp.shape(x)}, the kernel {w.shape}; "
            "give images [batch, height, width, inputs] and a kernel [height, width, inputs, outputs]"
        )
    dtype = finish.dtype
    window, moves = w.shape[:2], Moves(_pair("strides", strides), _pair("dilation", dilation))
    x = jnp.asarray(x, dtype)
    x = jnp.pad(x, ((0, 0), *sides_of(padding, x.shape[1:3], window, moves), (0, 0)))
    if window == (1, 1):
        down, right = moves.strides
        return block_matmul(x[:, ::down, ::right], w, bias=bias, activation=activation, backend=backend)
    return dispatch.product(x, jax.tree.map(lambda values: values.astype(dtype), w), finish, backend, moves)


def sides_of(padding: Padding, image: Sequence[int], window: Sequence[int], moves: Moves) -> list[tuple[int, int]]:
    """Zeros before and behind each of the two axes of an image.

    Raises:
        MaskError: a padding of another kind.
    """
    if isinstance(padding, str) and padding in ("SAME", "VALID"):
        return list(lax.padtype_to_pads(image, moves.span(window), moves.strides, padding))
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


def _pair(name: str, value: Any) -> tuple[int, int]:
    pair = value if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2:
        raise MaskError(f"{name}={value!r}: must be a whole number of at least 1, or two of them")
    for number in pair:
        check_whole(name, number, 1)
    return int(pair[0]), int(pair[1])
