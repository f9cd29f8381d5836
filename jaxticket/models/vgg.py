"""VGG (Simonyan and Zisserman 2015) with batch normalisation and a single dense layer, as CIFAR's users have it."""

from collections.abc import Sequence

import jax
from flax import linen as nn

from jaxticket.models.layers import Activation, Layers, check_images, global_average, max_pool, scaled

_FEATURES = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """Five stages of 3x3 convolutions, `stem`, `stage1_conv2`, ..., with a 2x2 max pool after each, then `head`.

    After the last stage comes a mean over the image; `last_pool` says whether a max pool stands before it.
    """

    num_classes: int
    stages: Sequence[int]
    activation: str | Activation = "relu"
    dtype: str = "float32"
    weight_init: str = "he_normal"
    head_init: str = "gaussian_0.01"
    norm_scale: float = 1.0
    width: float = 1.0
    conv_bias: bool = False
    last_pool: str = "average"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits float32 [B, num_classes] of images float [B, H, W, C]."""
        if self.last_pool == "average":
            check_images("a VGG", x, 16)
        else:
            check_images("a VGG with last_pool='max'", x, 32, "set config.model.options={'last_pool': 'average'}")
        layers = Layers(self.weight_init, self.activation, self.dtype, True, train, self.head_init, self.norm_scale)
        for i, convolutions in enumerate(self.stages):
            for j in range(convolutions):
                name = f"stage{i + 1}_conv{j + 1}" if i or j else "stem"
                x = layers.conv_act(x, scaled(_FEATURES[i], self.width), 3, name, bias=self.conv_bias)
            if i < len(self.stages) - 1 or self.last_pool == "max":
                x = max_pool(x)
        return layers.head(global_average(x), self.num_classes)
