"""What networks are built of: named layers that share one set of options, and activations by name.

A `Layers` belongs to no module: what it builds belongs to the Linen module whose compact method is running.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxticket.core.errors import JaxticketError
from jaxticket.models.architecture import Architecture, Normalised
from jaxticket.models.initializers import SCHEMES, fans, normal

Activation = Callable[[jax.Array], jax.Array]

_ACTIVATIONS: dict[str, Activation] = {
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
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


@dataclasses.dataclass(frozen=True)
class Layers:
    """Builds and applies the layers of a network, within the compact method of a Linen module.

    Attributes:
        init: name of the scheme of initial weights.
        activation: name or function of the nonlinearity.
        dtype: name of the dtype of activations; parameters are float32.
        batch_norm: whether `conv_act` normalises, in which case its convolution has no bias.
        train: whether a normalisation uses and updates the statistics of the batch.
        head_init: scheme of the classifier; `same` is that of the other layers.
        norm_scale: initial scale of the normalisations.
        num_classes: what the classifier distinguishes.
        param: `param` of the network's module, for parameters that belong to no layer; None within blocks.
    """

    init: str
    activation: str | Activation
    dtype: str
    batch_norm: bool = False
    train: bool = False
    head_init: str = "same"
    norm_scale: float = 1.0
    num_classes: int = 0
    param: Callable[..., Any] | None = None

    @classmethod
    def of(cls, network: Architecture, **others: Any) -> "Layers":
        """The layers of a network with the options that it has, and other attributes."""
        shared = {field.name: getattr(network, field.name, field.default) for field in dataclasses.fields(cls)}
        shared["batch_norm"] = isinstance(network, Normalised) or shared["batch_norm"]
        return cls(**{**shared, **others})

    def block(self, name: str, function: Callable[..., jax.Array], x: jax.Array, *arguments: Any) -> jax.Array:
        """`function(layers, x, *arguments)`, its layers below `name`."""
        return _Block(function, dataclasses.replace(self, param=None), arguments, name=name)(x)

    def act(self, x: jax.Array) -> jax.Array:
        """The nonlinearity."""
        return activation(self.activation)(x)

    def dense(self, x: jax.Array, features: int, name: str, init: str = "same") -> jax.Array:
        """A dense layer with bias: [..., inputs] -> [..., features]."""
        return nn.Dense(features, name=name, **self._common((x.shape[-1], features), init))(x)

    def conv(
        self,
        x: jax.Array,
        features: int,
        kernel: int,
        name: str,
        *,
        stride: int = 1,
        groups: int = 1,
        padding: str | int = "same",
        bias: bool = True,
    ) -> jax.Array:
        """A convolution with a square window: [B, H, W, inputs] -> [B, H', W', features].

        Padding is zeros on all four sides alike, as many as a number says; `same` are `(kernel - 1) // 2`, as
        PyTorch's networks have them (XLA's own SAME pads an even image unevenly where the stride is 2).
        """
        shape = (kernel, kernel, x.shape[-1] // groups, features)
        sides = padding if isinstance(padding, int) else {"same": (kernel - 1) // 2, "valid": 0}[padding]
        return nn.Conv(
            features,
            shape[:2],
            strides=stride,
            padding=((sides, sides),) * 2,
            feature_group_count=groups,
            use_bias=bias,
            name=name,
            **self._common(shape),
        )(x)

    def norm(self, x: jax.Array, name: str) -> jax.Array:
        """Batch normalisation with PyTorch's constants: momentum 0.9 on the running mean, eps 1e-5.

        The arithmetic is float32 whatever the compute dtype.
        """
        normalised = nn.BatchNorm(
            use_running_average=not self.train,
            momentum=0.9,
            epsilon=1e-5,
            scale_init=nn.initializers.constant(self.norm_scale),
            name=name,
        )(x.astype(jnp.float32))
        return normalised.astype(self.dtype)

    def layer_norm(self, x: jax.Array, name: str) -> jax.Array:
        """Layer normalisation over the last axis, eps 1e-6; the arithmetic is float32 whatever the compute dtype."""
        return nn.LayerNorm(epsilon=1e-6, name=name)(x.astype(jnp.float32)).astype(self.dtype)

    def weight(self, name: str, stddev: float, shape: tuple[int, ...]) -> jax.Array:
        """A parameter of the network itself, outside of its blocks: float32, at first N(0, stddev^2)."""
        if self.param is None:
            raise JaxticketError(f"{name}: a block has no parameters but those of its layers; make it in the network")
        return self.param(name, normal(stddev), shape)

    def norm_act(self, x: jax.Array, name: str) -> jax.Array:
        """Batch normalisation, nonlinearity."""
        return self.act(self.norm(x, name))

    def conv_norm(self, x: jax.Array, features: int, kernel: int, name: str, **how: Any) -> jax.Array:
        """Convolution and, where it is on, batch normalisation `<name>_bn`; with it there is no bias by default."""
        x = self.conv(x, features, kernel, name, **{"bias": not self.batch_norm, **how})
        return self.norm(x, f"{name}_bn") if self.batch_norm else x

    def conv_act(self, x: jax.Array, features: int, kernel: int, name: str, **how: Any) -> jax.Array:
        """Convolution, batch normalisation `<name>_bn` where it is on, nonlinearity."""
        return self.act(self.conv_norm(x, features, kernel, name, **how))

    def dense_act(self, x: jax.Array, features: int, name: str) -> jax.Array:
        """Dense layer, nonlinearity."""
        return self.act(self.dense(x, features, name))

    def head(self, x: jax.Array) -> jax.Array:
        """The classifier, named `head`: float32 logits [..., num_classes]."""
        return self.dense(x, self.num_classes, "head", self.head_init).astype(jnp.float32)

    def max_pool(self, x: jax.Array, window: int = 2, stride: int = 2, padding: int = 0) -> jax.Array:
        """The greatest of each window; what is left of the image at its end and fills no window is dropped."""
        sides: Any = ((padding, padding),) * 2  # Flax says `str` where it means this too
        return nn.max_pool(x, (window, window), (stride, stride), sides)

    def average_pool(self, x: jax.Array) -> jax.Array:
        """The mean of each 2x2 window, stride 2; an odd last row or column is dropped."""
        # Flax's avg_pool divides by an integer, which strict dtype promotion refuses.
        return 0.25 * nn.pool(x, 0.0, jax.lax.add, (2, 2), (2, 2), "VALID")

    def global_average(self, x: jax.Array) -> jax.Array:
        """The mean over the image: [B, H, W, C] -> [B, C]."""
        return x.mean(axis=(1, 2))

    def check_images(self, network: str, x: jax.Array, least: int = 1, remedy: str = "") -> None:
        """Refuses an input that is not float images, or is smaller than the network can take.

        Args:
            network: its name, for the message.
            x: the input.
            least: the smallest height and width.
            remedy: what else could be done about images that are too small, for the message.

        Raises:
            JaxticketError: x is not float [batch, height, width, channels], or height or width are below `least`.
        """
        if x.ndim != 4 or not jnp.issubdtype(x.dtype, jnp.floating):
            raise JaxticketError(
                f"{network} takes float images [batch, height, width, channels], got {x.dtype.name}{list(x.shape)}"
            )
        if min(x.shape[1:3]) < least:
            raise JaxticketError(
                f"{network} takes images of {least}x{least} or more, got {x.shape[1]}x{x.shape[2]}"
                f"; {remedy or 'choose another network or larger images'}"
            )

    def _common(self, kernel_shape: tuple[int, ...], init: str = "same") -> dict[str, Any]:
        scheme = SCHEMES[self.init if init == "same" else init]
        return {
            "dtype": jnp.dtype(self.dtype),
            "param_dtype": jnp.float32,
            "kernel_init": scheme.kernel,
            "bias_init": scheme.bias(fans(kernel_shape)[0]),
        }


class _Block(nn.Module):
    """A function of layers that has a scope of its own."""

    function: Callable[..., jax.Array]
    layers: Layers
    arguments: tuple[Any, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """What the function returns."""
        return self.function(self.layers, x, *self.arguments)
