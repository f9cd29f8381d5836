"""MobileNets: depthwise-separable convolutions (Howard et al. 2017), inverted residuals (Sandler et al. 2018)."""

import jax
from flax import linen as nn

from jaxticket.models.layers import Activation, Layers, check_images, global_average, scaled, variant_for

# Features and stride of each block (Howard et al. 2017, table 1).
_SEPARABLE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))

# Expansion, features and number of blocks of each group (Sandler et al. 2018, table 2).
_INVERTED = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))
_STRIDES = {"imagenet": (1, 2, 2, 2, 1, 2, 1), "cifar": (1, 1, 2, 2, 1, 2, 1), "colt": (1, 2, 2, 2, 1, 1, 1)}


class SeparableBlock(nn.Module):
    """A 3x3 convolution of each channel by itself, then a 1x1 convolution, each normalised and activated."""

    layers: Layers
    features: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H / stride, W / stride, features]."""
        channels = x.shape[-1]
        x = self.layers.conv_act(x, channels, 3, "depthwise", stride=self.stride, groups=channels)
        return self.layers.conv_act(x, self.features, 1, "pointwise")


class MobileNetV1(nn.Module):
    """`stem`, thirteen `block<i>`, mean over the image, `head`.

    The stem has stride 1 in the variant `cifar`, 2 in `imagenet`.
    """

    num_classes: int
    activation: str | Activation = "relu"
    dtype: str = "float32"
    weight_init: str = "torch"
    head_init: str = "torch"
    norm_scale: float = 1.0
    width: float = 1.0
    variant: str = "auto"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits float32 [B, num_classes] of images float [B, H, W, C]."""
        check_images("mobilenet_v1", x)
        layers = Layers(self.weight_init, self.activation, self.dtype, True, train, self.head_init, self.norm_scale)
        stride = 2 if variant_for(self.variant, x) == "imagenet" else 1
        x = layers.conv_act(x, scaled(32, self.width, 8), 3, "stem", stride=stride)
        for i, (features, stride) in enumerate(_SEPARABLE):
            x = SeparableBlock(layers, scaled(features, self.width, 8), stride, name=f"block{i}")(x)
        return layers.head(global_average(x), self.num_classes)


class InvertedResidual(nn.Module):
    """1x1 `expand`, 3x3 `depthwise`, 1x1 `project` without activation; the input is added where shapes agree."""

    layers: Layers
    hidden: int
    features: int
    stride: int
    expand: bool
    conv_bias: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H / stride, W / stride, features]."""
        layers, y = self.layers, x
        if self.expand:
            y = layers.conv_act(y, self.hidden, 1, "expand", bias=self.conv_bias)
        y = layers.conv_act(y, self.hidden, 3, "depthwise", stride=self.stride, groups=self.hidden, bias=self.conv_bias)
        y = layers.conv_norm(y, self.features, 1, "project", bias=self.conv_bias)
        return x + y if x.shape == y.shape else y


class MobileNetV2(nn.Module):
    """`stem`, seventeen `block<i>`, `last_conv` (1280), mean over the image, `head`.

    Variants: `imagenet` is the paper's; `cifar` leaves out two of its strides and that of the stem; `colt` has a 1x1
    stem that pads by one pixel, biases in every convolution, and an expansion in the first block too.
    """

    num_classes: int
    activation: str | Activation = "relu6"
    dtype: str = "float32"
    weight_init: str = "he_normal"
    head_init: str = "gaussian_0.01"
    norm_scale: float = 1.0
    width: float = 1.0
    variant: str = "auto"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits float32 [B, num_classes] of images float [B, H, W, C]."""
        check_images("mobilenet_v2", x)
        layers = Layers(self.weight_init, self.activation, self.dtype, True, train, self.head_init, self.norm_scale)
        variant = variant_for(self.variant, x)
        colt = variant == "colt"
        features = scaled(32, self.width, 8)
        if colt:
            x = layers.conv_act(x, features, 1, "stem", padding=1, bias=True)
        else:
            x = layers.conv_act(x, features, 3, "stem", stride=2 if variant == "imagenet" else 1)
        block = 0
        for (expansion, group_features, blocks), group_stride in zip(_INVERTED, _STRIDES[variant], strict=True):
            for j in range(blocks):
                x = InvertedResidual(
                    layers,
                    hidden=x.shape[-1] * expansion,
                    features=scaled(group_features, self.width, 8),
                    stride=group_stride if j == 0 else 1,
                    expand=expansion > 1 or colt,
                    conv_bias=colt,
                    name=f"block{block}",
                )(x)
                block += 1
        x = layers.conv_act(x, scaled(1280, max(1.0, self.width), 8), 1, "last_conv", bias=colt)
        return layers.head(global_average(x), self.num_classes)
