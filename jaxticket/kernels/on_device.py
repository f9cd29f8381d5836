"""A kernel as part of a program: it can be differentiated and mapped like the plain product that it replaces."""

import dataclasses
import functools
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from jaxticket.kernels import xla
from jaxticket.kernels.block_sparse import BlockSparse
from jaxticket.kernels.finish import Finish
from jaxticket.kernels.structure import BlockStructure


class Run(Protocol):
    """A kernel: (x [rows, inputs], values of the weight, bias float32 [outputs]) -> [rows, outputs]."""

    def __call__(
        self, x: Any, values: Any, bias: Any, *, structure: BlockStructure, relu: bool, dtype: Any
    ) -> jax.Array:
        """`x @ weight + bias`, perhaps at least zero, in `dtype`."""
        ...


@dataclasses.dataclass(frozen=True)
class _How:
    """What a product is besides its arrays; hashable."""

    run: Run
    structure: BlockStructure
    relu: bool
    dtype: str


def matmul(x: jax.Array, weight: BlockSparse, finish: Finish, run: Run) -> jax.Array:
    """`finish(x @ weight)` by a kernel.

    The kernel adds the bias, and applies 'relu'. Another activation could be anything, and is applied to its float32
    result. Derivatives are those of the plain product in JAX, forwards and backwards, of any order; axes of `x` over
    which it is mapped become rows.

    Args:
        x: [rows, inputs], of the dtype of the weight.
        weight: [inputs, outputs].
        finish: bias, activation and dtype of the result.
        run: the kernel, a function that is made once.
    """
    fused = finish.activation is None or finish.activation == "relu"
    dtype = finish.dtype if fused else jnp.float32
    how = _How(run, weight.structure, finish.activation == "relu", jnp.dtype(dtype).name)
    bias = jnp.zeros(weight.shape[-1], jnp.float32) if finish.bias is None else finish.bias
    product = _product(how, x, weight.values, bias)
    return product if fused else Finish(None, finish.activation, finish.dtype)(product)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _product(how: _How, x: jax.Array, values: jax.Array, bias: jax.Array) -> jax.Array:
    return _mapped(how)(x, values, bias)


@functools.partial(_product.defjvp, symbolic_zeros=True)
def _(how: _How, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    x, values, _ = primals
    result = _product(how, *primals)
    by_x, by_values, by_bias = tangents
    plain = Finish(None, None, jnp.float32)
    change = jnp.zeros(result.shape, jnp.float32)
    if not isinstance(by_x, SymbolicZero):
        change += xla.matmul(by_x, BlockSparse(values, how.structure), plain)
    if not isinstance(by_values, SymbolicZero):
        change += xla.matmul(x, BlockSparse(by_values, how.structure), plain)
    if not isinstance(by_bias, SymbolicZero):
        change += by_bias[None]
    if how.relu:
        change = jnp.where(result > 0, change, 0)
    return result, change.astype(how.dtype)


@functools.lru_cache(maxsize=256)
def _mapped(how: _How) -> Any:
    """The kernel with a rule for `vmap`."""

    @jax.custom_batching.custom_vmap
    def call(x: jax.Array, values: jax.Array, bias: jax.Array) -> jax.Array:
        return how.run(x, values, bias, structure=how.structure, relu=how.relu, dtype=jnp.dtype(how.dtype))

    @call.def_vmap
    def _(size: int, mapped: Any, *arrays: jax.Array) -> tuple[jax.Array, bool]:
        if not any(mapped[1:]):
            x, values, bias = arrays
            rows = call(x.reshape(-1, x.shape[-1]), values, bias)
            return rows.reshape(size, -1, rows.shape[-1]), True

        def one(parts: Any) -> jax.Array:
            rest = iter(parts)
            return call(*(next(rest) if part else array for array, part in zip(arrays, mapped, strict=True)))

        return lax.map(one, [array for array, part in zip(arrays, mapped, strict=True) if part]), True

    return call
