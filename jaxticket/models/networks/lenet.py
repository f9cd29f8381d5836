"""LeNet-300-100 and LeNet-5 (LeCun et al. 1998), as the lottery ticket papers use them."""

import dataclasses
from typing import TYPE_CHECKING

from jaxticket.core.errors import JaxticketError
from jaxticket.core.options import option
from jaxticket.models.architecture import INITS, WIDEST, Architecture, scaled
from jaxticket.models.registry import Network, register

if TYPE_CHECKING:
    import jax

    from jaxticket.models.layers import Layers

# Frankle & Carbin (2019), figure 2.
_TRAIN = {"optimizer": "adam", "lr": 1.2e-3, "batch_size": 60, "epochs": 20}


@dataclasses.dataclass(frozen=True)
class LeNet300(Architecture):
    """Flatten, 300, 100, number of classes: layers `fc1`, `fc2`, `head` (Frankle and Carbin 2019, section 2).

    Attributes:
        width: factor on the numbers of hidden units.
    """

    init: str = option("glorot_normal", choices=INITS)
    width: float = option(1.0, above=0, maximum=WIDEST)

    def __call__(self, layers: "Layers", x: "jax.Array") -> "jax.Array":
        """Logits float32 [B, classes] of images float [B, H, W, C]."""
        layers.check_images("lenet300", x)
        x = x.reshape(x.shape[0], -1)
        x = layers.dense_act(x, scaled(300, self.width), "fc1")
        x = layers.dense_act(x, scaled(100, self.width), "fc2")
        return layers.head(x)


@dataclasses.dataclass(frozen=True)
class LeNet5(Architecture):
    """5x5 convolutions `stem` (6), `conv2` (16), each with a 2x2 max pool; `fc1` (120), `fc2` (84), `head`.

    Attributes:
        width: factor on the numbers of channels and of hidden units.
        batch_norm: whether a batch normalisation follows each convolution.
        padding: of the convolutions; `valid` is none and needs images of 16x16 or more.
        variant: `classic` flattens the last maps for `fc1` (LeCun et al. 1998); `colt` averages each over the image, as
            the program of that paper does.
    """

    init: str = option("glorot_normal", choices=INITS)
    width: float = option(1.0, above=0, maximum=WIDEST)
    batch_norm: bool = option(False)
    padding: str = option("valid", choices=("valid", "same"))
    variant: str = option("classic", choices=("classic", "colt"))

    def __call__(self, layers: "Layers", x: "jax.Array") -> "jax.Array":
        """Logits float32 [B, classes] of images float [B, H, W, C]."""
        layers.check_images("lenet5", x)
        self._check_size(x.shape[1], x.shape[2])
        x = layers.max_pool(layers.conv_act(x, scaled(6, self.width), 5, "stem", padding=self.padding))
        x = layers.max_pool(layers.conv_act(x, scaled(16, self.width), 5, "conv2", padding=self.padding))
        x = layers.global_average(x) if self.variant == "colt" else x.reshape(x.shape[0], -1)
        x = layers.dense_act(x, scaled(120, self.width), "fc1")
        x = layers.dense_act(x, scaled(84, self.width), "fc2")
        return layers.head(x)

    def _check_size(self, height: int, width: int) -> None:
        least = 16 if self.padding == "valid" else 4
        if min(height, width) < least:
            remedy = "; set config.model.options={'padding': 'same'}" if self.padding == "valid" else ""
            raise JaxticketError(
                f"lenet5 with padding={self.padding!r} takes images of {least}x{least} or more, "
                f"got {height}x{width}{remedy}"
            )


# A network without a stem, whose head of a thousand weights is pruned along with the rest.
register(Network("lenet300", LeNet300, aliases={"fc1": {}}, train=_TRAIN, prune_all=True))
register(Network("lenet5", LeNet5, version=2, train=_TRAIN, small_images={"padding": "same"}))
