"""A kernel as part of a program: it can be differentiated and mapped like the plain product that it replaces."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from jaxticket.kernels.backends.xla import conv as xla_conv
from jaxticket.kernels.epilogue import Finish
from jaxticket.kernels.formats.block_sparse import BlockSparse
from jaxticket.kernels.formats.conv_geometry import Moves
from jaxticket.kernels.formats.structure import BlockStructure

Run = Callable[..., jax.Array]
"""A kernel: (x, values of the weight, bias float32 [outputs], *, structure, relu, dtype, and of convolutions moves) ->
`x @ weight + bias`, or the convolution; perhaps at least zero, in `dtype`."""


@dataclasses.dataclass(frozen=True)
class _How:
    """What a product is besides its arrays; hashable."""

    run: Run
    structure: BlockStructure
    relu: bool
    dtype: str
    moves: Moves | None

    def kernel(self, x: jax.Array, values: jax.Array, bias: jax.Array) -> jax.Array:
        """The product by the kernel."""
        moves = {} if self.moves is None else {"moves": self.moves}
        return self.run(x, values, bias, structure=self.structure, relu=self.relu, dtype=jnp.dtype(self.dtype), **moves)

    def plain(self, x: jax.Array, values: jax.Array) -> jax.Array:
        """The product in plain JAX, float32, without bias and activation."""
        finish = Finish(None, None, jnp.float32)
        return xla_conv.product(x, BlockSparse(values, self.structure), finish, self.moves)


def product(x: jax.Array, weight: BlockSparse, finish: Finish, run: Run, moves: Moves | None = None) -> jax.Array:
    """`finish(x @ weight)` by a kernel, or `finish(conv(x, weight))` by one of convolutions.

    The kernel adds the bias, and applies 'relu'. Another activation could be anything, and is applied to its float32
    result. Derivatives are those of the plain product in JAX, forwards and backwards, of any order; axes of `x` over
    which it is mapped become rows, or images.

    Args:
        x: [rows, inputs], or [images, height, width, inputs] and padded; of the dtype of the weight.
        weight: [inputs, outputs], or [height, width, inputs, outputs].
        finish: bias, activation and dtype of the result.
        run: the kernel, a function that is made once.
        moves: of the window; None for a product of matrices.
    """
    fused = finish.activation is None or finish.activation == "relu"
    dtype = finish.dtype if fused else jnp.float32
    how = _How(run, weight.structure, finish.activation == "relu", jnp.dtype(dtype).name, moves)
    bias = jnp.zeros(weight.shape[-1], jnp.float32) if finish.bias is None else finish.bias
    found = _product(how, x, weight.values, bias)
    return found if fused else Finish(None, finish.activation, finish.dtype)(found)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _product(how: _How, x: jax.Array, values: jax.Array, bias: jax.Array) -> jax.Array:
    return _mapped(how)(x, values, bias)


@functools.partial(_product.defjvp, symbolic_zeros=True)
def _(how: _How, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    x, values, _ = primals
    result = _product(how, *primals)
    by_x, by_values, by_bias = tangents
    change = jnp.zeros(result.shape, jnp.float32)
    if not isinstance(by_x, SymbolicZero):
        change += how.plain(by_x, values)
    if not isinstance(by_values, SymbolicZero):
        change += how.plain(x, by_values)
    if not isinstance(by_bias, SymbolicZero):
        change += lax.expand_dims(by_bias, range(change.ndim - 1))
    if how.relu:
        change = jnp.where(result > 0, change, 0)
    return result, change.astype(how.dtype)


@functools.lru_cache(maxsize=256)
def _mapped(how: _How) -> Any:
    """The kernel with a rule for `vmap`."""

    @jax.custom_batching.custom_vmap
    def call(x: jax.Array, values: jax.Array, bias: jax.Array) -> jax.Array:
        return how.kernel(x, values, bias)

    @call.def_vmap
    def _(size: int, mapped: Any, *arrays: jax.Array) -> tuple[jax.Array, bool]:
        if not any(mapped[1:]):
            x, values, bias = arrays
            rows = call(x.reshape(-1, *x.shape[2:]), values, bias)
            return rows.reshape(size, -1, *rows.shape[1:]), True

        def one(parts: Any) -> jax.Array:
            rest = iter(parts)
            return call(*(next(rest) if part else array for array, part in zip(arrays, mapped, strict=True)))

        return lax.map(one, [array for array, part in zip(arrays, mapped, strict=True) if part]), True

    return call
