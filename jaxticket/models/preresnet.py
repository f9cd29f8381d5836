"""Residual networks with the activation first (He et al. 2016b), and wide ones (Zagoruyko and Komodakis 2016)."""

import jax
from flax import linen as nn

from jaxticket.models.layers import Activation, Layers, check_images, global_average, scaled


class PreActBlock(nn.Module):
    """Normalisation, nonlinearity, convolution, two or three times, around a shortcut.

    Every normalisation stands before a convolution, so that its channels can be left out of that convolution's
    input alone: what network slimming needs. The shortcut is a 1x1 convolution without normalisation where the shape
    changes, of the block's input or of its first activation.
    """

    layers: Layers
    features: int
    stride: int
    bottleneck: bool
    shortcut_input: str
    same_shape: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H / stride, W / stride, features, or 4 features with a bottleneck]."""
        layers = self.layers
        features = 4 * self.features if self.bottleneck else self.features
        y = activated = layers.norm_act(x, "bn1")
        if self.bottleneck:
            y = layers.norm_act(self._conv(y, self.features, 1, "conv1"), "bn2")
            y = layers.norm_act(self._conv(y, self.features, 3, "conv2", self.stride), "bn3")
            y = self._conv(y, features, 1, "conv3")
        else:
            y = layers.norm_act(self._conv(y, features, 3, "conv1", self.stride), "bn2")
            y = self._conv(y, features, 3, "conv2")
        if not self.same_shape:  # declared, so that a network with fewer channels has the same layers
            source = x if self.shortcut_input == "block" else activated
            x = self._conv(source, features, 1, "shortcut", self.stride)
        return x + y

    def _conv(self, x: jax.Array, features: int, kernel: int, name: str, stride: int = 1) -> jax.Array:
        return self.layers.conv(x, features, kernel, name, stride=stride, bias=False)


class PreActResNet(nn.Module):
    """`stem` (16), three stages of blocks `stage<i>_block<j>`, `final_bn`, mean over the image, `head`."""

    num_classes: int
    depth: int = 20
    block: str = "bottleneck"
    activation: str | Activation = "relu"
    dtype: str = "float32"
    weight_init: str = "he_normal"
    head_init: str = "torch"
    norm_scale: float = 0.5
    width: float = 1.0
    shortcut_input: str = "block"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits float32 [B, num_classes] of images float [B, H, W, C]."""
        check_images("a pre-activation ResNet", x)
        layers = Layers(self.weight_init, self.activation, self.dtype, True, train, self.head_init, self.norm_scale)
        bottleneck = self.block == "bottleneck"
        stem = scaled(16, self.width)
        x = layers.conv(x, stem, 3, "stem", bias=False)
        blocks = (self.depth - 2) // (9 if bottleneck else 6)
        return _stages_and_head(layers, x, stem, blocks, self.width, bottleneck, self.shortcut_input, self.num_classes)


class WideResNet(nn.Module):
    """A pre-activation ResNet of few and wide basic blocks; its depth counts the shortcuts of the three stages.

    The stem keeps its 16 channels at any width, and shortcuts read the activated input.
    """

    num_classes: int
    depth: int = 28
    activation: str | Activation = "relu"
    dtype: str = "float32"
    weight_init: str = "he_normal"
    head_init: str = "torch"
    norm_scale: float = 1.0
    width: float = 10.0

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits float32 [B, num_classes] of images float [B, H, W, C]."""
        check_images("wide_resnet", x)
        layers = Layers(self.weight_init, self.activation, self.dtype, True, train, self.head_init, self.norm_scale)
        x = layers.conv(x, 16, 3, "stem", bias=False)
        blocks = (self.depth - 4) // 6
        return _stages_and_head(layers, x, 16, blocks, self.width, False, "activated", self.num_classes)


def _stages_and_head(
    layers: Layers,
    x: jax.Array,
    stem: int,
    blocks: int,
    width: float,
    bottleneck: bool,
    shortcut_input: str,
    num_classes: int,
) -> jax.Array:
    for i in range(3):
        features = scaled(16 * 2**i, width)
        for j in range(blocks):
            stride = 2 if i > 0 and j == 0 else 1
            same_shape = j > 0 or (i == 0 and not bottleneck and stem == features)
            name = f"stage{i + 1}_block{j}"
            x = PreActBlock(layers, features, stride, bottleneck, shortcut_input, same_shape, name=name)(x)
    return layers.head(global_average(layers.norm_act(x, "final_bn")), num_classes)
