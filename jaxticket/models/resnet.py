"""Residual networks (He et al. 2016a): those of CIFAR with three stages and those of ImageNet with four."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxticket.models.layers import Activation, Layers, check_images, global_average, max_pool, scaled, variant_for


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    layers: Layers
    features: int
    stride: int
    shortcut_kind: str
    same_shape: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H / stride, W / stride, features]."""
        y = self.layers.conv_act(x, self.features, 3, "conv1", stride=self.stride)
        y = self.layers.conv_norm(y, self.features, 3, "conv2")
        return self.layers.act(y + shortcut(self, x, y.shape[-1]))


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1 to four times the features, around a shortcut."""

    layers: Layers
    features: int
    stride: int
    shortcut_kind: str
    same_shape: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H / stride, W / stride, 4 features]."""
        y = self.layers.conv_act(x, self.features, 1, "conv1")
        y = self.layers.conv_act(y, self.features, 3, "conv2", stride=self.stride)
        y = self.layers.conv_norm(y, 4 * self.features, 1, "conv3")
        return self.layers.act(y + shortcut(self, x, y.shape[-1]))


def shortcut(block: BasicBlock | Bottleneck, x: jax.Array, features: int) -> jax.Array:
    """What is added to a block's output: x itself, or x brought to its shape where that is declared to differ.

    By declaration, so that a network with fewer channels has the same layers.

    `conv` is a 1x1 convolution `shortcut` with normalisation (option B of He et al. 2016a, section 3.3), `pad`
    takes every `stride`-th pixel and puts zero channels on both sides (option A, without parameters).
    """
    if block.same_shape:
        return x
    if block.shortcut_kind == "conv":
        return block.layers.conv_norm(x, features, 1, "shortcut", stride=block.stride)
    missing = features - x.shape[-1]
    return jnp.pad(x[:, :: block.stride, :: block.stride], ((0, 0),) * 3 + ((missing // 2, missing - missing // 2),))


_BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(nn.Module):
    """`stem`, blocks `stage<i>_block<j>`, mean over the image, `head`.

    Variants: `cifar` starts with a 3x3 convolution, `imagenet` with a 7x7 one of stride 2 and a 3x3 max pool.
    """

    num_classes: int
    stages: Sequence[int]
    features: int
    block: str
    activation: str | Activation = "relu"
    dtype: str = "float32"
    weight_init: str = "he_normal"
    head_init: str = "torch"
    norm_scale: float = 1.0
    width: float = 1.0
    variant: str = "auto"
    shortcut: str = "conv"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits float32 [B, num_classes] of images float [B, H, W, C]."""
        check_images("a ResNet", x)
        layers = Layers(self.weight_init, self.activation, self.dtype, True, train, self.head_init, self.norm_scale)
        features = [scaled(self.features * 2**i, self.width) for i in range(len(self.stages))]
        if variant_for(self.variant, x) == "imagenet":
            x = max_pool(layers.conv_act(x, features[0], 7, "stem", stride=2), 3, 2, 1)
        else:
            x = layers.conv_act(x, features[0], 3, "stem")
        for i, blocks in enumerate(self.stages):
            for j in range(blocks):
                stride = 2 if i > 0 and j == 0 else 1
                same_shape = j > 0 or (i == 0 and self.block == "basic")
                name = f"stage{i + 1}_block{j}"
                x = _BLOCKS[self.block](layers, features[i], stride, self.shortcut, same_shape, name=name)(x)
        return layers.head(global_average(x), self.num_classes)
