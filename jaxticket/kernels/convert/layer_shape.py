"""What a layer is called with: the shapes and the window that its cost depends on, and how it is computed."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxticket.kernels.conv import Padding, block_conv, sides_of
from jaxticket.kernels.formats.conv_geometry import Moves, Pair
from jaxticket.kernels.formats.sparse_weight import SparseWeight
from jaxticket.kernels.matmul import block_matmul


@dataclasses.dataclass(frozen=True)
class Window:
    """How the window of a convolution moves.

    Attributes:
        strides: (height, width).
        padding: zeros, ((above, below), (left, right)).
        dilation: (height, width).
    """

    strides: Pair
    padding: tuple[Pair, Pair]
    dilation: Pair

    @property
    def moves(self) -> Moves:
        """Without the padding."""
        return Moves(self.strides, self.dilation)


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a dense or convolutional layer.

    Attributes:
        x: shape of the input.
        kernel: shape of the kernel, [inputs, outputs] or [height, width, inputs, outputs].
        dtype: name of the dtype that it computes in.
        window: None for a dense layer.
    """

    x: tuple[int, ...]
    kernel: tuple[int, ...]
    dtype: str
    window: Window | None = None

    @property
    def rows(self) -> int:
        """Rows of the product of matrices: examples, or positions of the output of all images."""
        if self.window is None:
            return math.prod(self.x[:-1])
        padded = [size + sum(sides) for size, sides in zip(self.x[1:3], self.window.padding, strict=True)]
        return self.x[0] * math.prod(self.window.moves.positions(padded, self.kernel[:2]))


def call_of(module: Any, x: Any, kernel: Any) -> Call | str:
    """What a layer of Linen or NNX, whose fields have the same names, is called with; or why it has to stay dense.

    Args:
        module: an `nn.Dense`, `nn.Conv`, `nnx.Linear` or `nnx.Conv`.
        x: its input, perhaps abstract.
        kernel: its kernel, perhaps abstract.
    """
    for name in ("precision", "dot_general", "dot_general_cls", "conv_general_dilated", "preferred_element_type"):
        own = getattr(module, name, None)
        if own is not None and own not in (lax.dot_general, lax.conv_general_dilated):
            return f"it has a {name} of its own"
    if not module.promote_dtype.__module__.startswith("flax."):
        return "it has a promote_dtype of its own"
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.dtype(module.dtype or jnp.promote_types(x.dtype, kernel.dtype))
    if not jnp.issubdtype(dtype, jnp.floating):
        return f"it computes in {dtype}"
    if not hasattr(module, "kernel_size"):
        return Call(tuple(x.shape), tuple(kernel.shape), dtype.name)
    if len(kernel.shape) != 4 or len(x.shape) != 4:
        return f"it is no convolution of images: x {list(x.shape)}, kernel {list(kernel.shape)}"
    if module.feature_group_count != 1 or kernel.shape[2] != x.shape[3]:
        return "its channels are in groups"
    if module.mask is not None or _pair(module.input_dilation) != (1, 1):
        return "it has a mask or an input dilation"
    if isinstance(module.padding, str) and module.padding not in ("SAME", "VALID"):
        return f"its padding is {module.padding}"
    return Call(tuple(x.shape), tuple(kernel.shape), dtype.name, _window(module, x, kernel))


def _window(module: Any, x: Any, kernel: Any) -> Window:
    strides, dilation = _pair(module.strides), _pair(module.kernel_dilation)
    padding: Padding = module.padding
    sides = sides_of(padding, x.shape[1:3], kernel.shape[:2], Moves(strides, dilation))
    return Window(strides, (sides[0], sides[1]), dilation)


def _pair(value: Any) -> Pair:
    value = 1 if value is None else value
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def sparse_call(call: Call, x: Any, weight: SparseWeight, bias: Any = None) -> jax.Array:
    """The layer with a sparse weight."""
    x, weight = x.astype(call.dtype), jax.tree.map(lambda values: values.astype(call.dtype), weight)
    if call.window is None:
        return block_matmul(x, weight, bias=bias)
    how = dataclasses.asdict(call.window)
    return block_conv(x, weight, bias=bias, **how)


def dense_call(call: Call, x: Any, kernel: Any) -> jax.Array:
    """The layer with a dense kernel, without bias."""
    if call.window is None:
        return jnp.dot(x, kernel)
    return lax.conv_general_dilated(
        x,
        kernel,
        call.window.strides,
        call.window.padding,
        rhs_dilation=call.window.dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
