"""Dense times sparse, with bias and activation."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxticket.core.errors import ConfigError, MaskError
from jaxticket.kernels.backends import dispatch
from jaxticket.kernels.backends.xla import matmul as xla_matmul
from jaxticket.kernels.epilogue import Activation, Finish
from jaxticket.kernels.formats.sparse_weight import SparseWeight


def block_matmul(
    x: Any, w: SparseWeight, *, bias: Any = None, activation: Activation = None, backend: str | None = None
) -> jax.Array:
    """`activation(x @ w + bias)` with a sparse weight; only what is stored is computed.

    It can be jitted, differentiated in `x`, `w` and `bias`, and mapped over axes of `x`. Products of 16-bit floats are
    added up in float32, and bias and activation are applied before the result is rounded.

    Args:
        x: float array [..., inputs].
        w: `BlockSparse` or `DenseGroups` of a weight [..., outputs], whose other axes together are the inputs.
        bias: float array [outputs], or None.
        activation: 'relu', a function that works on every element by itself, or None.
        backend: 'xla', 'gpu', 'tpu', or None for the best that is available.

    Returns:
        [..., outputs], of the dtype to which `x` and `w` promote.

    Raises:
        MaskError: `x` or `bias` do not fit the weight.
        ConfigError: an unknown activation, or a backend that is not available.
    """
    finish = finisher(x, w, bias, activation)
    dtype = finish.dtype
    inputs, outputs = matrix_of(w)
    if not jnp.ndim(x) or jnp.shape(x)[-1] != inputs:
        raise MaskError(f"x has shape {jnp.shape(x)}, the weight has {inputs} inputs; give x [..., {inputs}]")
    rows = jnp.asarray(x, dtype).reshape(-1, inputs)
    product = dispatch.product(rows, jax.tree.map(lambda v: v.astype(dtype), w), finish, backend)
    return product.reshape(*jnp.shape(x)[:-1], outputs)


def matrix_of(w: SparseWeight) -> tuple[int, int]:
    """(inputs, outputs) of a weight."""
    *others, outputs = w.shape
    inputs = 1
    for size in others:
        inputs *= size
    return inputs, outputs


def finisher(x: Any, w: SparseWeight, bias: Any, activation: Activation) -> Finish:
    """What is done with a product [rows, outputs] in its dtype of accumulation.

    Raises:
        MaskError: `x` is no float array, or `bias` does not fit the weight.
        ConfigError: an unknown activation.
    """
    if not isinstance(w, SparseWeight):
        raise MaskError(
            f"w is a {type(w).__name__}; give a BlockSparse or DenseGroups, as BlockSparse.from_dense makes"
        )
    if not hasattr(x, "dtype"):
        raise MaskError(f"x is a {type(x).__name__}; give a float array")
    if activation is not None and activation != "relu" and not callable(activation):
        raise ConfigError(f"activation={activation!r}: must be 'relu', a function or None")
    if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        raise MaskError(f"x has dtype {jnp.result_type(x)}; give a float array")
    if bias is not None and jnp.shape(bias) != (w.shape[-1],):
        raise MaskError(f"bias has shape {jnp.shape(bias)}, the weight has {w.shape[-1]} outputs; give one for each")
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.promote_types(jnp.result_type(x), w.dtype)
    return Finish(None if bias is None else jnp.asarray(bias, xla_matmul.accumulation(dtype)), activation, dtype)
