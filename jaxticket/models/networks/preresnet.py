"""Residual networks with the activation first (He et al. 2016b), and wide ones (Zagoruyko and Komodakis 2016)."""

import dataclasses
from typing import TYPE_CHECKING

from jaxticket.core.options import option
from jaxticket.models.architecture import DEEPEST, WIDEST, Normalised, check_depth, scaled
from jaxticket.models.registry import Network, register

if TYPE_CHECKING:
    import jax

    from jaxticket.models.layers import Layers


def preact_block(
    layers: "Layers",
    x: "jax.Array",
    features: int,
    stride: int,
    bottleneck: bool,
    shortcut_input: str,
    same_shape: bool,
) -> "jax.Array":
    """Normalisation, nonlinearity, convolution, two or three times, around a shortcut.

    Every normalisation stands before a convolution, so that its channels can be left out of that convolution's
    input alone: what network slimming needs. The shortcut is a 1x1 convolution without normalisation where the shape
    changes, of the block's input or of its first activation.

    Returns:
        [B, H / stride, W / stride, features, or 4 features with a bottleneck] of x [B, H, W, C].
    """

    def conv(x: "jax.Array", features: int, kernel: int, name: str, stride: int = 1) -> "jax.Array":
        return layers.conv(x, features, kernel, name, stride=stride, bias=False)

    outputs = 4 * features if bottleneck else features
    y = activated = layers.norm_act(x, "bn1")
    if bottleneck:
        y = layers.norm_act(conv(y, features, 1, "conv1"), "bn2")
        y = layers.norm_act(conv(y, features, 3, "conv2", stride), "bn3")
        y = conv(y, outputs, 1, "conv3")
    else:
        y = layers.norm_act(conv(y, outputs, 3, "conv1", stride), "bn2")
        y = conv(y, outputs, 3, "conv2")
    if not same_shape:  # declared, so that a network with fewer channels has the same layers
        x = conv(x if shortcut_input == "block" else activated, outputs, 1, "shortcut", stride)
    return x + y


def stages_and_head(
    layers: "Layers", x: "jax.Array", blocks: int, width: float, bottleneck: bool, shortcut_input: str
) -> "jax.Array":
    """Logits of the stem's maps: three stages of `stage<i>_block<j>`, `final_bn`, mean over the image, `head`."""
    stem = x.shape[-1]
    for i in range(3):
        features = scaled(16 * 2**i, width)
        for j in range(blocks):
            stride = 2 if i > 0 and j == 0 else 1
            same_shape = j > 0 or (i == 0 and not bottleneck and stem == features)
            options = features, stride, bottleneck, shortcut_input, same_shape
            x = layers.block(f"stage{i + 1}_block{j}", preact_block, x, *options)
    return layers.head(layers.global_average(layers.norm_act(x, "final_bn")))


@dataclasses.dataclass(frozen=True)
class PreActResNet(Normalised):
    """`stem` (16), three stages of blocks `stage<i>_block<j>`, `final_bn`, mean over the image, `head`.

    Attributes:
        depth: 9n + 2 with bottlenecks, 6n + 2 with basic blocks.
        block: `bottleneck` or `basic`.
        width: factor on the numbers of channels.
        shortcut_input: what a convolutional shortcut reads: the input of its block (`block`), or that input
            normalised and activated (`activated`).
    """

    norm_scale: float = option(0.5, above=0)
    depth: int = option(20, minimum=8, maximum=DEEPEST)
    block: str = option("bottleneck", choices=("bottleneck", "basic"))
    width: float = option(1.0, above=0, maximum=WIDEST)
    shortcut_input: str = option("block", choices=("block", "activated"))

    def check(self, where: str) -> None:
        """Refuses depths that no number of blocks gives."""
        super().check(where)
        check_depth(where, self.depth, 9 if self.block == "bottleneck" else 6, 2, f" with block={self.block!r}")

    def __call__(self, layers: "Layers", x: "jax.Array") -> "jax.Array":
        """Logits float32 [B, classes] of images float [B, H, W, C]."""
        layers.check_images("a pre-activation ResNet", x)
        bottleneck = self.block == "bottleneck"
        x = layers.conv(x, scaled(16, self.width), 3, "stem", bias=False)
        blocks = (self.depth - 2) // (9 if bottleneck else 6)
        return stages_and_head(layers, x, blocks, self.width, bottleneck, self.shortcut_input)


@dataclasses.dataclass(frozen=True)
class WideResNet(Normalised):
    """A pre-activation ResNet of few and wide basic blocks; its depth counts the shortcuts of the three stages.

    The stem keeps its 16 channels at any width, and shortcuts read the activated input.

    Attributes:
        depth: 6n + 4.
        width: factor on the numbers of channels.
    """

    depth: int = option(28, minimum=10, maximum=DEEPEST)
    width: float = option(10.0, above=0, maximum=WIDEST)

    def check(self, where: str) -> None:
        """Refuses depths that no number of blocks gives."""
        super().check(where)
        check_depth(where, self.depth, 6, 4)

    def __call__(self, layers: "Layers", x: "jax.Array") -> "jax.Array":
        """Logits float32 [B, classes] of images float [B, H, W, C]."""
        layers.check_images("wide_resnet", x)
        x = layers.conv(x, 16, 3, "stem", bias=False)
        return stages_and_head(layers, x, (self.depth - 4) // 6, self.width, False, "activated")


register(Network("preresnet", PreActResNet, aliases={"resnetb": {}, "resnet": {"block": "basic"}}))
register(Network("preresnet101", PreActResNet, {"depth": 101, "block": "bottleneck"}))
register(Network("preresnet164", PreActResNet, {"depth": 164, "block": "bottleneck"}))
register(Network("wide_resnet", WideResNet))
