"""What is done with a product before it is rounded: bias and activation."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

Activation = str | Callable[[jax.Array], jax.Array] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Finish:
    """The function [rows, outputs] -> [rows, outputs] that ends a product, in parts for kernels that do it themselves.

    Attributes:
        bias: [outputs] in the dtype of accumulation, or None.
        activation: 'relu', a function that works on every element by itself, or None.
        dtype: of the result.
    """

    bias: jax.Array | None
    activation: Activation
    dtype: Any

    def __call__(self, product: jax.Array) -> jax.Array:
        """Adds the bias to a product in its dtype of accumulation, applies the activation, and rounds."""
        if self.bias is not None:
            product = product + self.bias[None, :]
        if self.activation == "relu":
            product = jax.nn.relu(product)
        elif callable(self.activation):
            product = self.activation(product)
        return product.astype(self.dtype)
