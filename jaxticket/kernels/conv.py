"""Convolutions with a sparse kernel, with bias and activation."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from jaxticket.core.checks import check_whole
from jaxticket.core.errors import MaskError
from jaxticket.kernels.backends.dispatch import dispatch
from jaxticket.kernels.epilogue import Activation
from jaxticket.kernels.formats.conv_geometry import ConvGeometry, Pair
from jaxticket.kernels.formats.sparse_weight import SparseWeight
from jaxticket.kernels.matmul import block_matmul, make_epilogue

Padding = str | int | Sequence[int] | Sequence[Pair]


def block_conv(
    x: jax.Array,
    w: SparseWeight,
    *,
    strides: int | Pair = 1,
    padding: Padding = "SAME",
    dilation: int | Pair = 1,
    bias: ArrayLike | None = None,
    activation: Activation = None,
    backend: str | None = None,
) -> jax.Array:
    """`activation(conv(x, w) + bias)` of images with a sparse kernel; only what is stored is computed.

    A window of 1x1 is a matmul. It differentiates like `block_matmul`.

    Args:
        x: float array [batch, height, width, inputs].
        w: `BlockSparse` or `DenseGroups` of a kernel [height, width, inputs, outputs].
        strides: of the window, one number or (height, width).
        padding: 'SAME', 'VALID', or zeros on each side: a number, one for each axis, or a (low, high) pair for each.
        dilation: distance between the window's positions, one number or (height, width).
        bias: float array [outputs], or None.
        activation: 'relu', an elementwise function, or None.
        backend: as for `block_matmul`.

    Returns:
        [batch, height', width', outputs], of the dtype to which `x` and `w` promote.

    Raises:
        MaskError: shapes that do not fit together.
        ConfigError: an unknown activation, or a backend that is not available.

    Example:
        >>> kernel = jnp.zeros((3, 3, 1, 2)).at[1, 1, 0, 1].set(2.0)
        >>> sparse = jt.BlockSparse.from_dense(kernel, block=(1, 2))  # stores one block of nine
        >>> jt.block_conv(jnp.ones((1, 5, 5, 1)), sparse, strides=2).shape
        (1, 3, 3, 2)
    """
    epilogue = make_epilogue(x, w, bias, activation)
    if len(w.shape) != 4 or jnp.ndim(x) != 4 or jnp.shape(x)[-1] != w.shape[2]:
        raise MaskError(
            f"x has shape {jnp.shape(x)}, the kernel {w.shape}; "
            "give images [batch, height, width, inputs] and a kernel [height, width, inputs, outputs]"
        )
    dtype = epilogue.dtype
    window, geometry = w.shape[:2], ConvGeometry(_pair("strides", strides), _pair("dilation", dilation))
    x = jnp.asarray(x, dtype)
    x = jnp.pad(x, ((0, 0), *sides_of(padding, x.shape[1:3], window, geometry), (0, 0)))
    if window == (1, 1):
        down, right = geometry.strides
        return block_matmul(x[:, ::down, ::right], w, bias=bias, activation=activation, backend=backend)
    return dispatch(x, jax.tree.map(lambda values: values.astype(dtype), w), epilogue, backend, geometry)


def sides_of(padding: Padding, image: Sequence[int], window: Sequence[int], geometry: ConvGeometry) -> list[Pair]:
    """Zeros before and after each of the two axes of an image.

    Raises:
        MaskError: a padding of another kind.
    """
    if isinstance(padding, str) and padding in ("SAME", "VALID"):
        return list(lax.padtype_to_pads(image, geometry.span(window), geometry.strides, padding))
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


def _pair(name: str, value: int | Pair) -> Pair:
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2:
        raise MaskError(f"{name}={value!r}: must be a whole number of at least 1, or two of them")
    for number in pair:
        check_whole(name, number, 1)
    return int(pair[0]), int(pair[1])
