"""What the package's own networks have in common: options as the fields of a dataclass, and a forward pass.

Neither Flax nor JAX is imported here and in `networks`, so that a configuration is checked before they load.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option

if TYPE_CHECKING:
    import jax

    from jaxticket.models.layers import Layers
    from jaxticket.models.linen import LinenNetwork

ACTIVATIONS = ("relu", "relu6", "swish", "mish", "gelu", "softplus", "elu", "lisht", "tanh")
DTYPES = ("float32", "bfloat16")
INITS = ("glorot_normal", "he_normal", "he_normal_fan_in", "gaussian_0.01", "gaussian_0.02", "torch")
HEAD_INITS = ("same", *INITS)
VARIANTS = ("auto", "cifar", "imagenet")
# Wider and deeper ones than anybody trains; what memory allows is found out from their shapes.
WIDEST, DEEPEST = 256, 2000


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network of this package: its options, and its layers when called.

    Attributes:
        activation: `relu`, `relu6`, `swish`, `mish`, `gelu`, `softplus`, `elu`, `lisht` or `tanh`; outside of
            configurations any function of one array.
        dtype: of activations; parameters are always float32.
        init: scheme of the initial weights.
    """

    activation: Any = "relu"
    dtype: str = option("float32", choices=DTYPES)
    init: str = option("he_normal", choices=INITS)

    def __call__(self, layers: "Layers", x: "jax.Array") -> "jax.Array":
        """Logits float32 [B, number of classes] of images float [B, H, W, C], by `layers`."""
        raise NotImplementedError

    def module(self, num_classes: int) -> "LinenNetwork":
        """The network as a Linen module.

        Example:
            >>> from jaxticket.models.networks.lenet import LeNet300
            >>> network = LeNet300(width=0.5).module(num_classes=10)
            >>> network.num_classes
            10
        """
        from jaxticket.models.linen import LinenNetwork

        return LinenNetwork(self, num_classes)

    def check(self, where: str) -> None:
        """Refuses an activation that is neither a known name nor a function.

        Args:
            where: the configuration key of the options, for the message.
        """
        if not callable(self.activation) and self.activation not in ACTIVATIONS:
            raise ConfigError(
                f"config.{where}.activation={self.activation!r}: must be one of {', '.join(ACTIVATIONS)}, "
                f"or a function given to create_model"
            )


@dataclasses.dataclass(frozen=True)
class Normalised(Architecture):
    """A network with batch normalisation after, or before, every convolution.

    Attributes:
        head_init: scheme of the classifier's weights; `same` is `init`.
        norm_scale: initial scale of the normalisations; network slimming starts from 0.5.
    """

    head_init: str = option("torch", choices=HEAD_INITS)
    norm_scale: float = option(1.0, above=0)


def is_large(x: "jax.Array") -> bool:
    """Whether images [B, H, W, C] are of ImageNet's kind, 112 pixels or more: what the choice `auto` goes by."""
    return min(x.shape[1:3]) >= 112


def variant_for(variant: str, x: "jax.Array") -> str:
    """The variant itself, and for `auto` the one for images of this size, `imagenet` or `cifar`."""
    if variant != "auto":
        return variant
    return "imagenet" if is_large(x) else "cifar"


def scaled(features: int, width: float, multiple_of: int = 1) -> int:
    """A number of channels times a width factor.

    With `multiple_of` 8 it is the rule of MobileNets: the nearest multiple, at least 8 and at least 90 % of the
    product (Sandler et al. 2018, in the authors' code).

    Example:
        >>> scaled(32, 0.75, 8), scaled(300, 0.5)
        (24, 150)
    """
    product = features * width
    rounded = max(multiple_of, int(product + multiple_of / 2) // multiple_of * multiple_of)
    return rounded + multiple_of if rounded < 0.9 * product else rounded


def check_depth(where: str, depth: int, layers: int, others: int, condition: str = "") -> None:
    """Refuses a depth other than `layers` n + `others`.

    Args:
        where: the configuration key of the options, for the message.
        depth: of the network.
        layers: of all blocks that are repeated together.
        others: of what is there once.
        condition: under which this holds, for the message.

    Raises:
        ConfigError: naming the two nearest depths.
    """
    if depth % layers != others:
        below = max(1, (depth - others) // layers) * layers + others
        raise ConfigError(
            f"config.{where}.depth={depth}: must be {layers}n + {others}{condition}, such as {below} or "
            f"{below + layers}"
        )
