"""DenseNet (Huang et al. 2017): each layer sees the maps of all layers of its stage before it."""

import dataclasses
from typing import TYPE_CHECKING

from jaxticket.core.options import option
from jaxticket.models.architecture import VARIANTS, Normalised, variant_for
from jaxticket.models.registry import Network, register

if TYPE_CHECKING:
    import jax

    from jaxticket.models.layers import Layers


def dense_layer(layers: "Layers", x: "jax.Array", growth: int, bottleneck: bool) -> "jax.Array":
    """Normalisation, nonlinearity, 3x3 convolution to `growth` maps, with a 1x1 bottleneck of four times that.

    Returns:
        [B, H, W, C + growth] of x [B, H, W, C], the old maps first.
    """
    import jax.numpy as jnp

    y = layers.norm_act(x, "bn1")
    if bottleneck:
        y = layers.conv(y, 4 * growth, 1, "conv1", bias=False)
        y = layers.conv(layers.norm_act(y, "bn2"), growth, 3, "conv2", bias=False)
    else:
        y = layers.conv(y, growth, 3, "conv1", bias=False)
    return jnp.concatenate([x, y], axis=-1)


def transition(layers: "Layers", x: "jax.Array", features: int, activated: bool) -> "jax.Array":
    """Normalisation, nonlinearity (not in COLT's network), 1x1 convolution, 2x2 mean: between two stages."""
    x = layers.norm(x, "bn")
    x = layers.act(x) if activated else x
    return layers.average_pool(layers.conv(x, features, 1, "conv", bias=False))


@dataclasses.dataclass(frozen=True)
class DenseNet(Normalised):
    """`stem`, layers `stage<i>_layer<j>`, a `transition<i>` after every stage but the last, `final_bn`, `head`.

    Attributes:
        stages: number of layers of each stage.
        growth: maps that a layer adds.
        stem_features: maps of the stem.
        bottleneck: whether a layer has a 1x1 convolution first.
        compression: share of the maps that a transition keeps.
        variant: `imagenet` starts with a normalised 7x7 convolution, stride 2, and a 3x3 max pool; `cifar` with a plain
            3x3 convolution; `colt` is `cifar` without the transitions' nonlinearity; `auto` goes by the size of the
            images, from 112 pixels `imagenet`.
    """

    stages: tuple[int, ...] = (12, 12, 12)
    growth: int = 12
    stem_features: int = 24
    bottleneck: bool = False
    compression: float = 1.0
    variant: str = option("auto", choices=(*VARIANTS, "colt"))

    def __call__(self, layers: "Layers", x: "jax.Array") -> "jax.Array":
        """Logits float32 [B, classes] of images float [B, H, W, C]."""
        large = variant_for(self.variant, x) == "imagenet"
        layers.check_images("a DenseNet", x, 2 ** (len(self.stages) - 1) * (4 if large else 1))
        if large:
            x = layers.max_pool(layers.conv_act(x, self.stem_features, 7, "stem", stride=2), 3, 2, 1)
        else:
            x = layers.conv(x, self.stem_features, 3, "stem", bias=False)
        for i, count in enumerate(self.stages):
            for j in range(count):
                x = layers.block(f"stage{i + 1}_layer{j}", dense_layer, x, self.growth, self.bottleneck)
            if i < len(self.stages) - 1:
                features = int(x.shape[-1] * self.compression)
                x = layers.block(f"transition{i + 1}", transition, x, features, self.variant != "colt")
        return layers.head(layers.global_average(layers.norm_act(x, "final_bn")))


_DENSENET40 = {"stages": (12,) * 3, "growth": 12, "stem_features": 24, "bottleneck": False, "compression": 1.0}
_DENSENET121 = {"stages": (6, 12, 24, 16), "growth": 32, "stem_features": 64, "bottleneck": True, "compression": 0.5}
register(Network("densenet40", DenseNet, _DENSENET40))
register(Network("densenet121", DenseNet, _DENSENET121, {"densenet": {}}))
