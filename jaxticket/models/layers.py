"""What networks are built of: named layers that share one set of options, and activations by name."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxticket.core.errors import JaxticketError
from jaxticket.models.initializers import SCHEMES, fans

Activation = Callable[[jax.Array], jax.Array]

_ACTIVATIONS: dict[str, Activation] = {
    "relu": jax.nn.relu,
    "swish": jax.nn.swish,
    "mish": jax.nn.mish,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "softplus": jax.nn.softplus,
    "elu": jax.nn.elu,
    "lisht": lambda x: x * jnp.tanh(x),
    "tanh": jnp.tanh,
}


def activation(kind: str | Activation) -> Activation:
    """The function behind an activation's name; gelu is the exact one. A function is returned as it is."""
    return _ACTIVATIONS[kind] if isinstance(kind, str) else kind


def check_images(network: str, x: jax.Array) -> None:
    """Refuses an input that is not float images.

    Raises:
        JaxticketError: x is not float [batch, height, width, channels].
    """
    if x.ndim != 4 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise JaxticketError(
            f"{network} takes float images [batch, height, width, channels], got {x.dtype.name}{list(x.shape)}"
        )


def max_pool(x: jax.Array) -> jax.Array:
    """The greatest of each 2x2 window, stride 2; an odd last row or column is dropped."""
    return nn.max_pool(x, (2, 2), (2, 2))


@dataclasses.dataclass(frozen=True)
class Layers:
    """Makes and applies the layers of a network, inside its compact `__call__`.

    Attributes:
        init: name of the scheme of initial weights.
        activation: name or function of the nonlinearity.
        dtype: name of the dtype of activations; parameters are float32.
        batch_norm: whether `conv_act` normalises, in which case its convolution has no bias.
        train: whether a normalisation uses and updates the statistics of the batch.
    """

    init: str
    activation: str | Activation
    dtype: str
    batch_norm: bool = False
    train: bool = False

    def act(self, x: jax.Array) -> jax.Array:
        """The nonlinearity."""
        return activation(self.activation)(x)

    def dense(self, x: jax.Array, features: int, name: str) -> jax.Array:
        """A dense layer with bias: [..., inputs] -> [..., features]."""
        return nn.Dense(features, name=name, **self._common((x.shape[-1], features)))(x)

    def conv(
        self,
        x: jax.Array,
        features: int,
        kernel: int,
        name: str,
        *,
        padding: str = "same",
        bias: bool = True,
    ) -> jax.Array:
        """A convolution with a square window, stride 1: [B, H, W, inputs] -> [B, H', W', features]."""
        shape = (kernel, kernel, x.shape[-1], features)
        return nn.Conv(features, shape[:2], padding=padding.upper(), use_bias=bias, name=name, **self._common(shape))(x)

    def norm(self, x: jax.Array, name: str) -> jax.Array:
        """Batch normalisation with PyTorch's constants: momentum 0.9 on the running mean, eps 1e-5."""
        return nn.BatchNorm(
            use_running_average=not self.train,
            momentum=0.9,
            epsilon=1e-5,
            dtype=jnp.dtype(self.dtype),
            name=name,
        )(x)

    def conv_act(self, x: jax.Array, features: int, kernel: int, name: str, *, padding: str = "same") -> jax.Array:
        """Convolution, batch normalisation `<name>_bn` where it is on, nonlinearity."""
        x = self.conv(x, features, kernel, name, padding=padding, bias=not self.batch_norm)
        if self.batch_norm:
            x = self.norm(x, f"{name}_bn")
        return self.act(x)

    def dense_act(self, x: jax.Array, features: int, name: str) -> jax.Array:
        """Dense layer, nonlinearity."""
        return self.act(self.dense(x, features, name))

    def head(self, x: jax.Array, num_classes: int) -> jax.Array:
        """The classifier, named `head`: float32 logits."""
        return self.dense(x, num_classes, "head").astype(jnp.float32)

    def _common(self, kernel_shape: tuple[int, ...]) -> dict[str, Any]:
        scheme = SCHEMES[self.init]
        return {
            "dtype": jnp.dtype(self.dtype),
            "param_dtype": jnp.float32,
            "kernel_init": scheme.kernel,
            "bias_init": scheme.bias(fans(kernel_shape)[0]),
        }
