"""Derivatives and batching of a kernel: both are those of the plain matmul or convolution that it replaces."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from jaxticket.kernels.backends.xla.conv import xla_conv
from jaxticket.kernels.backends.xla.matmul import xla_matmul
from jaxticket.kernels.epilogue import Epilogue
from jaxticket.kernels.formats.block_sparse import BlockSparse
from jaxticket.kernels.formats.conv_geometry import ConvGeometry
from jaxticket.kernels.formats.structure import BlockStructure

Kernel = Callable[..., jax.Array]
"""(x, values of the weight, bias float32 [outputs], *, structure, relu, dtype, and of convolutions geometry) ->
`x @ weight + bias`, or the convolution; at least zero if `relu`, in `dtype`."""


@dataclasses.dataclass(frozen=True)
class _Call:
    """All of a call of a kernel but its arrays; hashable."""

    kernel: Kernel
    structure: BlockStructure
    relu: bool
    dtype: str
    geometry: ConvGeometry | None

    def by_kernel(self, x: jax.Array, values: jax.Array, bias: jax.Array) -> jax.Array:
        """The result of the kernel."""
        options = {} if self.geometry is None else {"geometry": self.geometry}
        dtype = jnp.dtype(self.dtype)
        return self.kernel(x, values, bias, structure=self.structure, relu=self.relu, dtype=dtype, **options)

    def plain(self, x: jax.Array, values: jax.Array) -> jax.Array:
        """The result of plain JAX, float32, without bias and activation."""
        weight, epilogue = BlockSparse(values, self.structure), Epilogue(None, None, jnp.float32)
        if self.geometry is None:
            return xla_matmul(x, weight, epilogue)
        return xla_conv(x, weight, epilogue, self.geometry)


def differentiable(kernel: Kernel) -> Callable[..., jax.Array]:
    """The `matmul` of a `Backend` by a kernel for `BlockSparse` weights, and its `conv` by a kernel for convolutions.

    The kernel adds the bias and applies 'relu'. Another activation could be anything, and is applied to its float32
    result. Derivatives are those of the plain matmul in JAX, forwards and backwards, of any order; axes of `x` over
    which it is mapped become rows, or images.

    Args:
        kernel: `kernel(x, values, bias, *, structure, relu, dtype)`, for convolutions also `geometry`: a function that
            is defined once, for what it compiles is found again by it. `x` is [rows, inputs], or padded images
            [images, height, width, inputs]; values [blocks, inputs of a block, outputs of a block] of its dtype, as
            `structure` orders them; bias float32 [outputs]; the result is of `dtype`.

    Returns:
        (x, weight, epilogue, geometry of a convolution) -> `epilogue(x @ weight)`, or `epilogue(conv(x, weight))`.

    Example:
        >>> from jaxticket import kernels
        >>> def unpacked(x, values, bias, *, structure, relu, dtype):
        ...     product = x @ kernels.BlockSparse(values, structure).to_dense() + bias[None]
        ...     return (jnp.maximum(product, 0) if relu else product).astype(dtype)
        >>> matmul = kernels.differentiable(unpacked)
        >>> weight = kernels.BlockSparse.from_dense(jnp.eye(4), block=(2, 2))
        >>> matmul(jnp.arange(-2.0, 2.0)[None], weight, kernels.Epilogue(None, "relu", jnp.float32))
        Array([[0., 0., 0., 1.]], dtype=float32)
    """

    def run(x: jax.Array, weight: BlockSparse, epilogue: Epilogue, geometry: ConvGeometry | None = None) -> jax.Array:
        fused = epilogue.activation is None or epilogue.activation == "relu"
        dtype = epilogue.dtype if fused else jnp.float32
        call = _Call(kernel, weight.structure, epilogue.activation == "relu", jnp.dtype(dtype).name, geometry)
        bias = jnp.zeros(weight.shape[-1], jnp.float32) if epilogue.bias is None else epilogue.bias
        result = _compute(call, x, weight.values, bias)
        return result if fused else Epilogue(None, epilogue.activation, epilogue.dtype)(result)

    return run


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _compute(call: _Call, x: jax.Array, values: jax.Array, bias: jax.Array) -> jax.Array:
    return _batched(call)(x, values, bias)


@functools.partial(_compute.defjvp, symbolic_zeros=True)
def _(call: _Call, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    x, values, _ = primals
    result = _compute(call, *primals)
    x_dot, values_dot, bias_dot = tangents
    result_dot = jnp.zeros(result.shape, jnp.float32)
    if not isinstance(x_dot, SymbolicZero):
        result_dot += call.plain(x_dot, values)
    if not isinstance(values_dot, SymbolicZero):
        result_dot += call.plain(x, values_dot)
    if not isinstance(bias_dot, SymbolicZero):
        result_dot += lax.expand_dims(bias_dot, range(result_dot.ndim - 1))
    if call.relu:
        result_dot = jnp.where(result > 0, result_dot, 0)
    return result, result_dot.astype(call.dtype)


@functools.lru_cache(maxsize=256)
def _batched(call: _Call) -> Any:
    """The kernel with a rule for `vmap`."""

    @jax.custom_batching.custom_vmap
    def compute(x: jax.Array, values: jax.Array, bias: jax.Array) -> jax.Array:
        return call.by_kernel(x, values, bias)

    @compute.def_vmap
    def _(size: int, mapped: Any, *arrays: jax.Array) -> tuple[jax.Array, bool]:
        if not any(mapped[1:]):
            x, values, bias = arrays
            rows = compute(x.reshape(-1, *x.shape[2:]), values, bias)
            return rows.reshape(size, -1, *rows.shape[1:]), True

        def one(parts: Any) -> jax.Array:
            rest = iter(parts)
            return compute(*(next(rest) if part else array for array, part in zip(arrays, mapped, strict=True)))

        return lax.map(one, [array for array, part in zip(arrays, mapped, strict=True) if part]), True

    return compute
