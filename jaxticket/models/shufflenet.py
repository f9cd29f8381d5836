"""ShuffleNet V2 (Ma et al. 2018)."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxticket.models.layers import Activation, Layers, check_images, global_average, max_pool, variant_for

_BLOCKS = (4, 8, 4)
# Features of the three stages and of the last convolution by width (Ma et al. 2018, table 5).
_FEATURES = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}


def shuffle_channels(x: jax.Array) -> jax.Array:
    """Interleaves the two halves of the channels: [B, H, W, C] -> [B, H, W, C]."""
    return x.reshape(*x.shape[:-1], 2, x.shape[-1] // 2).swapaxes(-1, -2).reshape(x.shape)


class ShuffleBlock(nn.Module):
    """Half of the channels pass by, the other half goes through 1x1, depthwise 3x3, 1x1; then they are shuffled.

    With stride 2 all channels go into both branches. `narrow` keeps the number of input channels up to the last 1x1
    convolution of that branch.
    """

    layers: Layers
    features: int
    stride: int
    conv_bias: bool
    narrow: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H / stride, W / stride, features]."""
        half, channels = self.features // 2, x.shape[-1]
        if self.stride == 1:
            first, second = jnp.split(x, 2, axis=-1)
            middle = half
        else:
            first = self._depthwise(x, "branch1_depthwise")
            first = self._pointwise(first, half, "branch1_pointwise")
            second, middle = x, channels if self.narrow else half
        second = self._pointwise(second, middle, "branch2_expand")
        second = self._depthwise(second, "branch2_depthwise")
        second = self._pointwise(second, half, "branch2_pointwise")
        return shuffle_channels(jnp.concatenate([first, second], axis=-1))

    def _pointwise(self, x: jax.Array, features: int, name: str) -> jax.Array:
        return self.layers.conv_act(x, features, 1, name, bias=self.conv_bias)

    def _depthwise(self, x: jax.Array, name: str) -> jax.Array:
        channels = x.shape[-1]
        return self.layers.conv_norm(x, channels, 3, name, stride=self.stride, groups=channels, bias=self.conv_bias)


class ShuffleNetV2(nn.Module):
    """`stem` (24), blocks `stage<i>_block<j>`, `last_conv`, mean over the image, `head`.

    Variants: `imagenet` starts with stride 2 and a 3x3 max pool; `cifar` with stride 1; `colt` is `cifar` with no
    nonlinearity after the stem, biases in every convolution, and blocks that stay narrow where they stride.
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
        check_images("shufflenet_v2", x)
        layers = Layers(self.weight_init, self.activation, self.dtype, True, train, self.head_init, self.norm_scale)
        variant = variant_for(self.variant, x)
        colt = variant == "colt"
        if variant == "imagenet":
            x = max_pool(layers.conv_act(x, 24, 3, "stem", stride=2), 3, 2, 1)
        elif colt:
            x = layers.conv_norm(x, 24, 3, "stem", bias=True)
        else:
            x = layers.conv_act(x, 24, 3, "stem")
        *stages, last = _FEATURES[self.width]
        for i, (features, blocks) in enumerate(zip(stages, _BLOCKS, strict=True)):
            for j in range(blocks):
                x = ShuffleBlock(layers, features, 1 if j else 2, colt, colt, name=f"stage{i + 1}_block{j}")(x)
        x = layers.conv_act(x, last, 1, "last_conv", bias=colt)
        return layers.head(global_average(x), self.num_classes)
