"""Dense times sparse, with bias and activation."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxticket.core.errors import ConfigError, MaskError
from jaxticket.kernels.backends.dispatch import dispatch
from jaxticket.kernels.epilogue import Activation, Epilogue, accumulation_dtype
from jaxticket.kernels.formats.sparse_weight import SparseWeight


def block_matmul(
    x: ArrayLike,
    w: SparseWeight,
    *,
    bias: ArrayLike | None = None,
    activation: Activation = None,
    backend: str | None = None,
) -> jax.Array:
    """`activation(x @ w + bias)` with a sparse weight; only what is stored is computed.

    It can be jitted, differentiated in `x`, `w` and `bias`, and mapped over axes of `x`. Products of 16-bit floats are
    added up in float32, and bias and activation are applied before the result is rounded.

    Args:
        x: float array [..., inputs].
        w: `BlockSparse` or `DenseGroups` of a weight [..., outputs], whose other axes together are the inputs.
        bias: float array [outputs], or None.
        activation: 'relu', an elementwise function, or None.
        backend: 'xla', 'gpu', 'tpu', one of `jaxticket.kernels.register_backend`, or None for the best available.

    Returns:
        [..., outputs], of the dtype to which `x` and `w` promote.

    Raises:
        MaskError: `x` or `bias` do not fit the weight.
        ConfigError: an unknown activation, or a backend that is not available.

    Example:
        >>> weight = jnp.zeros((4, 4)).at[:2, 2:].set(1.0)
        >>> sparse = jt.BlockSparse.from_dense(weight, block=(2, 2))  # stores one block of four
        >>> jt.block_matmul(jnp.arange(4.0), sparse, bias=jnp.ones(4))
        Array([1., 1., 2., 2.], dtype=float32)
    """
    epilogue = make_epilogue(x, w, bias, activation)
    dtype = epilogue.dtype
    inputs, outputs = math.prod(w.shape[:-1]), w.shape[-1]
    if not jnp.ndim(x) or jnp.shape(x)[-1] != inputs:
        raise MaskError(f"x has shape {jnp.shape(x)}, the weight has {inputs} inputs; give x [..., {inputs}]")
    rows = jnp.asarray(x, dtype).reshape(-1, inputs)
    product = dispatch(rows, jax.tree.map(lambda values: values.astype(dtype), w), epilogue, backend)
    return product.reshape(*jnp.shape(x)[:-1], outputs)


def make_epilogue(x: Any, w: SparseWeight, bias: ArrayLike | None, activation: Activation) -> Epilogue:
    """The epilogue of a matmul or convolution, after checks of its arguments.

    Raises:
        MaskError: `w` is no sparse weight, `x` no float array, or `bias` does not fit the weight.
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
    return Epilogue(None if bias is None else jnp.asarray(bias, accumulation_dtype(dtype)), activation, dtype)
