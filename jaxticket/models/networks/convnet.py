"""The small convolutional networks: Conv-2, -4 and -6 of the lottery ticket hypothesis, COLT's Conv-3 and AlexNet."""

import dataclasses
from typing import TYPE_CHECKING

from jaxticket.core.options import option
from jaxticket.models.architecture import HEAD_INITS, INITS, WIDEST, Architecture, Normalised, scaled
from jaxticket.models.registry import Network, register

if TYPE_CHECKING:
    import jax

    from jaxticket.models.layers import Layers


@dataclasses.dataclass(frozen=True)
class ConvNet(Architecture):
    """Conv-2, Conv-4, Conv-6 (Frankle and Carbin 2019, figure 2): scaled-down VGGs for CIFAR-10.

    Pairs of 3x3 convolutions, `stem`, `conv2`, ..., of 64, 128 and 256 channels, each pair with a 2x2 max pool;
    then `fc1` and `fc2` (256) and `head`.

    Attributes:
        pairs: how many.
        batch_norm: whether a batch normalisation follows each convolution.
        width: channels of the first convolutions; the hidden dense layers have four times as many units.
    """

    init: str = option("glorot_normal", choices=INITS)
    pairs: int = option(1, minimum=1)
    batch_norm: bool = option(False)
    width: int = option(64, minimum=1, maximum=64 * WIDEST)

    def __call__(self, layers: "Layers", x: "jax.Array") -> "jax.Array":
        """Logits float32 [B, classes] of images float [B, H, W, C]."""
        layers.check_images(f"conv{2 * self.pairs}", x, 2**self.pairs)
        for i in range(self.pairs):
            features = self.width * 2**i
            x = layers.conv_act(x, features, 3, f"conv{2 * i + 1}" if i else "stem")
            x = layers.max_pool(layers.conv_act(x, features, 3, f"conv{2 * i + 2}"))
        x = x.reshape(x.shape[0], -1)
        x = layers.dense_act(x, 4 * self.width, "fc1")
        x = layers.dense_act(x, 4 * self.width, "fc2")
        return layers.head(x)


@dataclasses.dataclass(frozen=True)
class Conv3(Normalised):
    """COLT's small network: three times 3x3 convolution with bias, normalisation, 2x2 max pool, nonlinearity.

    `stem` (64), `conv2` (128), `conv3` (256), mean over the image, `head`.

    Attributes:
        width: factor on the numbers of channels.
    """

    init: str = option("torch", choices=INITS)
    head_init: str = option("same", choices=HEAD_INITS)
    width: float = option(1.0, above=0, maximum=WIDEST)

    def __call__(self, layers: "Layers", x: "jax.Array") -> "jax.Array":
        """Logits float32 [B, classes] of images float [B, H, W, C]."""
        layers.check_images("conv3", x, 8)
        for name, features in (("stem", 64), ("conv2", 128), ("conv3", 256)):
            x = layers.conv_norm(x, scaled(features, self.width), 3, name, bias=True)
            x = layers.act(layers.max_pool(x))
        return layers.head(layers.global_average(x))


@dataclasses.dataclass(frozen=True)
class AlexNet(Architecture):
    """AlexNet's five convolutions (Krizhevsky 2014) for small images, as COLT has them.

    `stem` (11x11, 64), `conv2` (5x5, 192), `conv3` (384), `conv4` and `conv5` (256), a 2x2 max pool after the first
    two and the last, mean over the image, `head`; biases, and no normalisation unless it is asked for.

    Attributes:
        batch_norm: whether a batch normalisation follows each convolution.
        stem_stride: of the first convolution; images have at least `7 * stem_stride + 1` pixels a side.
    """

    init: str = option("torch", choices=INITS)
    batch_norm: bool = option(False)
    stem_stride: int = option(4, minimum=1)

    def __call__(self, layers: "Layers", x: "jax.Array") -> "jax.Array":
        """Logits float32 [B, classes] of images float [B, H, W, C]."""
        # Three pools need eight rows after the stem.
        least, remedy = 7 * self.stem_stride + 1, "set config.model.options={'stem_stride': 1}"
        name = f"alexnet with stem_stride={self.stem_stride}"
        layers.check_images(name, x, least, remedy if self.stem_stride > 1 else "")
        x = layers.conv_act(x, 64, 11, "stem", stride=self.stem_stride)
        x = layers.max_pool(x)
        x = layers.max_pool(layers.conv_act(x, 192, 5, "conv2"))
        for name, features in (("conv3", 384), ("conv4", 256), ("conv5", 256)):
            x = layers.conv_act(x, features, 3, name)
        return layers.head(layers.global_average(layers.max_pool(x)))


for pairs, lr in ((1, 2e-4), (2, 3e-4), (3, 3e-4)):
    # Frankle & Carbin (2019), figure 2.
    recipe = {"optimizer": "adam", "lr": lr, "batch_size": 60, "epochs": 20}
    register(Network(f"conv{2 * pairs}", ConvNet, {"pairs": pairs}, train=recipe))
register(Network("conv3", Conv3))
# Without a normalisation it does not stand the learning rate of the other convolutional networks.
register(Network("alexnet", AlexNet, train={"lr": 0.01}, small_images={"stem_stride": 1}))
