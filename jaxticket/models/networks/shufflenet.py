"""ShuffleNet V2 (Ma et al. 2018)."""

import dataclasses
from typing import TYPE_CHECKING

from jaxticket.core.options import option
from jaxticket.models.architecture import INITS, VARIANTS, Normalised, variant_for
from jaxticket.models.registry import Network, register

if TYPE_CHECKING:
    import jax

    from jaxticket.models.layers import Layers

_BLOCKS = (4, 8, 4)
# Features of the three stages and of the last convolution by width (Ma et al. 2018, table 5).
_FEATURES = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}


def shuffle_channels(x: "jax.Array") -> "jax.Array":
    """Interleaves the two halves of the channels: [B, H, W, C] -> [B, H, W, C]."""
    return x.reshape(*x.shape[:-1], 2, x.shape[-1] // 2).swapaxes(-1, -2).reshape(x.shape)


def shuffle_block(
    layers: "Layers", x: "jax.Array", features: int, stride: int, conv_bias: bool, narrow: bool
) -> "jax.Array":
    """Half of the channels pass by, the other half is led through 1x1, depthwise 3x3, 1x1; then they are shuffled.

    With stride 2 all channels are led into both branches. `narrow` keeps the number of input channels up to the last
    1x1 convolution of that branch.

    Returns:
        [B, H / stride, W / stride, features] of x [B, H, W, C].
    """
    import jax.numpy as jnp

    def pointwise(x: "jax.Array", features: int, name: str) -> "jax.Array":
        return layers.conv_act(x, features, 1, name, bias=conv_bias)

    def depthwise(x: "jax.Array", name: str) -> "jax.Array":
        channels = x.shape[-1]
        return layers.conv_norm(x, channels, 3, name, stride=stride, groups=channels, bias=conv_bias)

    half, channels = features // 2, x.shape[-1]
    if stride == 1:
        first, second = jnp.split(x, 2, axis=-1)
        middle = half
    else:
        first = pointwise(depthwise(x, "branch1_depthwise"), half, "branch1_pointwise")
        second, middle = x, channels if narrow else half
    second = pointwise(second, middle, "branch2_expand")
    second = pointwise(depthwise(second, "branch2_depthwise"), half, "branch2_pointwise")
    return shuffle_channels(jnp.concatenate([first, second], axis=-1))


@dataclasses.dataclass(frozen=True)
class ShuffleNetV2(Normalised):
    """`stem` (24), blocks `stage<i>_block<j>`, `last_conv`, mean over the image, `head`.

    Attributes:
        width: which of the paper's four sizes.
        variant: `imagenet` starts with stride 2 and a 3x3 max pool; `cifar` with stride 1; `colt` is `cifar` with no
            nonlinearity after the stem, biases in every convolution, and blocks that stay narrow where they stride;
            `auto` goes by the size of the images.
    """

    init: str = option("torch", choices=INITS)
    width: float = option(1.0, choices=(0.5, 1.0, 1.5, 2.0))
    variant: str = option("auto", choices=(*VARIANTS, "colt"))

    def __call__(self, layers: "Layers", x: "jax.Array") -> "jax.Array":
        """Logits float32 [B, classes] of images float [B, H, W, C]."""
        layers.check_images("shufflenet_v2", x)
        variant = variant_for(self.variant, x)
        colt = variant == "colt"
        if variant == "imagenet":
            x = layers.max_pool(layers.conv_act(x, 24, 3, "stem", stride=2), 3, 2, 1)
        elif colt:
            x = layers.conv_norm(x, 24, 3, "stem", bias=True)
        else:
            x = layers.conv_act(x, 24, 3, "stem")
        *stages, last = _FEATURES[self.width]
        for i, (features, blocks) in enumerate(zip(stages, _BLOCKS, strict=True)):
            for j in range(blocks):
                x = layers.block(f"stage{i + 1}_block{j}", shuffle_block, x, features, 1 if j else 2, colt, colt)
        x = layers.conv_act(x, last, 1, "last_conv", bias=colt)
        return layers.head(layers.global_average(x))


register(Network("shufflenet_v2", ShuffleNetV2, aliases={"shufflenetv2": {}}))
