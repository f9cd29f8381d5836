"""MobileNets: depthwise-separable convolutions (Howard et al. 2017), inverted residuals (Sandler et al. 2018)."""

import dataclasses
from typing import TYPE_CHECKING, Any

from jaxticket.core.options import option
from jaxticket.models.architecture import HEAD_INITS, INITS, VARIANTS, WIDEST, Normalised, scaled, variant_for
from jaxticket.models.registry import Network, register

if TYPE_CHECKING:
    import jax

    from jaxticket.models.layers import Layers

# Features and stride of each block (Howard et al. 2017, table 1).
_SEPARABLE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))

# Expansion, features and number of blocks of each group (Sandler et al. 2018, table 2).
_INVERTED = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))
_STRIDES = {"imagenet": (1, 2, 2, 2, 1, 2, 1), "cifar": (1, 1, 2, 2, 1, 2, 1), "colt": (1, 2, 2, 2, 1, 1, 1)}


def separable_block(layers: "Layers", x: "jax.Array", features: int, stride: int) -> "jax.Array":
    """A 3x3 convolution of each channel separately, then a 1x1 convolution, each normalised and activated."""
    channels = x.shape[-1]
    x = layers.conv_act(x, channels, 3, "depthwise", stride=stride, groups=channels)
    return layers.conv_act(x, features, 1, "pointwise")


@dataclasses.dataclass(frozen=True)
class MobileNetV1(Normalised):
    """`stem`, thirteen `block<i>`, mean over the image, `head`.

    Attributes:
        width: factor on the numbers of channels, which stay multiples of 8.
        variant: whether the first convolution has stride 1 (`cifar`) or 2 (`imagenet`); `auto` goes by the size of
            the images.
    """

    init: str = option("torch", choices=INITS)
    width: float = option(1.0, above=0, maximum=WIDEST)
    variant: str = option("auto", choices=VARIANTS)

    def __call__(self, layers: "Layers", x: "jax.Array") -> "jax.Array":
        """Logits float32 [B, classes] of images float [B, H, W, C]."""
        layers.check_images("mobilenet_v1", x)
        stride = 2 if variant_for(self.variant, x) == "imagenet" else 1
        x = layers.conv_act(x, scaled(32, self.width, 8), 3, "stem", stride=stride)
        for i, (features, stride) in enumerate(_SEPARABLE):
            x = layers.block(f"block{i}", separable_block, x, scaled(features, self.width, 8), stride)
        return layers.head(layers.global_average(x))


def inverted_residual(
    layers: "Layers", x: "jax.Array", hidden: int, features: int, stride: int, expand: bool, conv_bias: bool
) -> "jax.Array":
    """1x1 `expand`, 3x3 `depthwise`, 1x1 `project` without activation; the input is added where shapes agree."""
    y = x
    if expand:
        y = layers.conv_act(y, hidden, 1, "expand", bias=conv_bias)
    y = layers.conv_act(y, hidden, 3, "depthwise", stride=stride, groups=hidden, bias=conv_bias)
    y = layers.conv_norm(y, features, 1, "project", bias=conv_bias)
    return x + y if x.shape == y.shape else y


@dataclasses.dataclass(frozen=True)
class MobileNetV2(Normalised):
    """`stem`, seventeen `block<i>`, `last_conv` (1280), mean over the image, `head`.

    Attributes:
        width: factor on the numbers of channels, which stay multiples of 8.
        variant: `imagenet` is the paper's; `cifar` leaves out two of its strides and that of the stem; `colt` has a 1x1
            stem that pads by one pixel, biases in every convolution, and an expansion in the first block too; `auto`
            goes by the size of the images.
    """

    activation: Any = "relu6"
    head_init: str = option("gaussian_0.01", choices=HEAD_INITS)
    width: float = option(1.0, above=0, maximum=WIDEST)
    variant: str = option("auto", choices=(*VARIANTS, "colt"))

    def __call__(self, layers: "Layers", x: "jax.Array") -> "jax.Array":
        """Logits float32 [B, classes] of images float [B, H, W, C]."""
        layers.check_images("mobilenet_v2", x)
        variant = variant_for(self.variant, x)
        colt = variant == "colt"
        features = scaled(32, self.width, 8)
        if colt:
            x = layers.conv_act(x, features, 1, "stem", padding=1, bias=True)
        else:
            x = layers.conv_act(x, features, 3, "stem", stride=2 if variant == "imagenet" else 1)
        block = 0
        for (expansion, group_features, blocks), group_stride in zip(_INVERTED, _STRIDES[variant], strict=True):
            features = scaled(group_features, self.width, 8)
            for j in range(blocks):
                hidden, stride = x.shape[-1] * expansion, 1 if j else group_stride
                options = hidden, features, stride, expansion > 1 or colt, colt
                x = layers.block(f"block{block}", inverted_residual, x, *options)
                block += 1
        x = layers.conv_act(x, scaled(1280, max(1.0, self.width), 8), 1, "last_conv", bias=colt)
        return layers.head(layers.global_average(x))


register(Network("mobilenet_v1", MobileNetV1, aliases={"mobilenet": {}, "mobilenetv1": {}}))
register(Network("mobilenet_v2", MobileNetV2, aliases={"mobilenetv2": {}}))
