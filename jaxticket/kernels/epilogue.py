"""Epilogue of a sparse matmul: bias and activation, applied before the result is rounded to its dtype."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

Activation = str | Callable[[jax.Array], jax.Array] | None


def accumulation_dtype(dtype: DTypeLike) -> np.dtype:
    """The dtype in which products of this dtype are added up: float32 or wider.

    Example:
        >>> from jaxticket import kernels
        >>> str(kernels.accumulation_dtype(jnp.bfloat16))
        'float32'
    """
    return jnp.dtype(jnp.float32) if jnp.dtype(dtype).itemsize < 4 else jnp.dtype(dtype)


@dataclasses.dataclass(frozen=True, eq=False)
class Epilogue:
    """The function [rows, outputs] -> [rows, outputs] that ends a matmul, in parts for kernels that fuse it.

    Attributes:
        bias: [outputs] in the dtype of accumulation, or None.
        activation: 'relu', an elementwise function, or None.
        dtype: of the result.
    """

    bias: jax.Array | None
    activation: Activation
    dtype: DTypeLike

    def __call__(self, product: jax.Array) -> jax.Array:
        """Adds the bias to a product in its dtype of accumulation, applies the activation, and rounds."""
        if self.bias is not None:
            product = product + self.bias[None, :]
        if self.activation == "relu":
            product = jax.nn.relu(product)
        elif callable(self.activation):
            product = self.activation(product)
        return product.astype(self.dtype)
