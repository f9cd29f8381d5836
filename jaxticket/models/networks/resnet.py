"""Residual networks (He et al. 2016a): those of CIFAR with three stages and those of ImageNet with four."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jaxticket.core.options import option
from jaxticket.models.architecture import VARIANTS, WIDEST, Normalised, scaled, variant_for
from jaxticket.models.registry import Network, register

if TYPE_CHECKING:
    import jax

    from jaxticket.models.layers import Layers


def basic_block(
    layers: "Layers", x: "jax.Array", features: int, stride: int, shortcut_kind: str, same_shape: bool
) -> "jax.Array":
    """Two 3x3 convolutions around a shortcut: [B, H, W, C] -> [B, H / stride, W / stride, features]."""
    y = layers.conv_act(x, features, 3, "conv1", stride=stride)
    y = layers.conv_norm(y, features, 3, "conv2")
    return layers.act(y + (x if same_shape else shortcut(layers, x, features, stride, shortcut_kind)))


def bottleneck(
    layers: "Layers", x: "jax.Array", features: int, stride: int, shortcut_kind: str, same_shape: bool
) -> "jax.Array":
    """1x1, 3x3 with the stride, 1x1 around a shortcut: [B, H, W, C] -> [B, H / stride, W / stride, 4 features]."""
    y = layers.conv_act(x, features, 1, "conv1")
    y = layers.conv_act(y, features, 3, "conv2", stride=stride)
    y = layers.conv_norm(y, 4 * features, 1, "conv3")
    return layers.act(y + (x if same_shape else shortcut(layers, x, y.shape[-1], stride, shortcut_kind)))


def shortcut(layers: "Layers", x: "jax.Array", features: int, stride: int, kind: str) -> "jax.Array":
    """The input of a block, brought to the shape of its output.

    `conv` is a 1x1 convolution `shortcut` with normalisation (option B of He et al. 2016a, section 3.3), `pad`
    takes every `stride`-th pixel and puts zero channels on both sides (option A, without parameters).
    """
    if kind == "conv":
        return layers.conv_norm(x, features, 1, "shortcut", stride=stride)
    import jax.numpy as jnp

    missing = features - x.shape[-1]
    return jnp.pad(x[:, ::stride, ::stride], ((0, 0),) * 3 + ((missing // 2, missing - missing // 2),))


@dataclasses.dataclass(frozen=True)
class ResNet(Normalised):
    """`stem`, blocks `stage<i>_block<j>`, mean over the image, `head`.

    Attributes:
        stages: number of blocks of each stage.
        features: channels of the first stage; each further one has twice as many.
        block: `basic` or `bottleneck`.
        width: factor on the numbers of channels; the sanity checks' ResNet-32 has 2.
        variant: `cifar` starts with a 3x3 convolution, `imagenet` with a 7x7 one with stride 2 and a max pool; `auto`
            goes by the size of the images, from 112 pixels `imagenet`.
        shortcut: where shapes change, a 1x1 convolution (`conv`) or zero channels (`pad`).
    """

    stages: tuple[int, ...] = (3, 3, 3)
    features: int = 16
    block: str = "basic"
    width: float = option(1.0, above=0, maximum=WIDEST)
    variant: str = option("auto", choices=VARIANTS)
    shortcut: str = option("conv", choices=("conv", "pad"))

    def __call__(self, layers: "Layers", x: "jax.Array") -> "jax.Array":
        """Logits float32 [B, classes] of images float [B, H, W, C]."""
        layers.check_images("a ResNet", x)
        features = [scaled(self.features * 2**i, self.width) for i in range(len(self.stages))]
        if variant_for(self.variant, x) == "imagenet":
            x = layers.max_pool(layers.conv_act(x, features[0], 7, "stem", stride=2), 3, 2, 1)
        else:
            x = layers.conv_act(x, features[0], 3, "stem")
        function = {"basic": basic_block, "bottleneck": bottleneck}[self.block]
        for i, blocks in enumerate(self.stages):
            for j in range(blocks):
                stride = 2 if i > 0 and j == 0 else 1
                # Declared, so that a network with fewer channels has the same layers.
                same_shape = j > 0 or (i == 0 and self.block == "basic")
                name = f"stage{i + 1}_block{j}"
                x = layers.block(name, function, x, features[i], stride, self.shortcut, same_shape)
        return layers.head(layers.global_average(x))


# The ResNet-32 of the sanity checks and, as `wrn32`, of Structure-LTH.
WIDE_RESNET32: Mapping[str, Any] = {"width": 2.0, "head_init": "gaussian_0.01"}

for depth in (20, 32, 44, 56, 110):
    layout = {"stages": ((depth - 2) // 6,) * 3, "features": 16, "block": "basic"}
    # Structure-LTH and ToST call them so.
    aliases: dict[str, Mapping[str, Any]] = {f"res{depth}s": {}, f"resnet{depth}s": {}}
    register(Network(f"resnet{depth}", ResNet, layout, aliases | ({"wrn32": WIDE_RESNET32} if depth == 32 else {})))
for depth, block, stages in (
    (18, "basic", (2, 2, 2, 2)),
    (34, "basic", (3, 4, 6, 3)),
    (50, "bottleneck", (3, 4, 6, 3)),
    (101, "bottleneck", (3, 4, 23, 3)),
    (152, "bottleneck", (3, 8, 36, 3)),
):
    layout = {"stages": stages, "features": 64, "block": block}
    # Structure-LTH's have the stem for small images whatever the size.
    register(Network(f"resnet{depth}", ResNet, layout, {f"res{depth}": {"variant": "cifar"}}))
