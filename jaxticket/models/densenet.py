"""DenseNet (Huang et al. 2017): each layer sees the maps of all layers of its stage before it."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxticket.models.layers import (
    Activation,
    Layers,
    average_pool,
    check_images,
    global_average,
    max_pool,
    variant_for,
)


class DenseLayer(nn.Module):
    """Normalisation, nonlinearity, 3x3 convolution to `growth` maps, with a 1x1 bottleneck of four times that."""

    layers: Layers
    growth: int
    bottleneck: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, C + growth], the old maps first."""
        layers, y = self.layers, self.layers.norm_act(x, "bn1")
        if self.bottleneck:
            y = layers.conv(y, 4 * self.growth, 1, "conv1", bias=False)
            y = layers.conv(layers.norm_act(y, "bn2"), self.growth, 3, "conv2", bias=False)
        else:
            y = layers.conv(y, self.growth, 3, "conv1", bias=False)
        return jnp.concatenate([x, y], axis=-1)


class Transition(nn.Module):
    """Normalisation, nonlinearity (not in COLT's network), 1x1 convolution, 2x2 mean: between two stages."""

    layers: Layers
    features: int
    activated: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H // 2, W // 2, features]."""
        x = self.layers.norm(x, "bn")
        x = self.layers.act(x) if self.activated else x
        return average_pool(self.layers.conv(x, self.features, 1, "conv", bias=False))


class DenseNet(nn.Module):
    """`stem`, layers `stage<i>_layer<j>`, a `transition<i>` after every stage but the last, `final_bn`, `head`.

    Variants: `imagenet` starts with a normalised 7x7 convolution, stride 2, and a 3x3 max pool; `cifar` with a plain
    3x3 convolution; `colt` is `cifar` without the transitions' nonlinearity.
    """

    num_classes: int
    stages: Sequence[int]
    growth: int
    stem_features: int
    bottleneck: bool
    compression: float
    activation: str | Activation = "relu"
    dtype: str = "float32"
    weight_init: str = "he_normal"
    head_init: str = "torch"
    norm_scale: float = 1.0
    variant: str = "auto"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits float32 [B, num_classes] of images float [B, H, W, C]."""
        large = variant_for(self.variant, x) == "imagenet"
        check_images("a DenseNet", x, 2 ** (len(self.stages) - 1) * (4 if large else 1))
        layers = Layers(self.weight_init, self.activation, self.dtype, True, train, self.head_init, self.norm_scale)
        if large:
            x = max_pool(layers.conv_act(x, self.stem_features, 7, "stem", stride=2), 3, 2, 1)
        else:
            x = layers.conv(x, self.stem_features, 3, "stem", bias=False)
        for i, count in enumerate(self.stages):
            for j in range(count):
                x = DenseLayer(layers, self.growth, self.bottleneck, name=f"stage{i + 1}_layer{j}")(x)
            if i < len(self.stages) - 1:
                features = int(x.shape[-1] * self.compression)
                x = Transition(layers, features, self.variant != "colt", name=f"transition{i + 1}")(x)
        return layers.head(global_average(layers.norm_act(x, "final_bn")), self.num_classes)
