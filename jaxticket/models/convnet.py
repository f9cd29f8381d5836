"""The small convolutional networks of the lottery ticket hypothesis."""

import jax
from flax import linen as nn

from jaxticket.core.errors import JaxticketError
from jaxticket.models.layers import Activation, Layers, check_images, max_pool


class Conv2(nn.Module):
    """Conv-2 (Frankle and Carbin 2019, figure 2): a scaled-down VGG for CIFAR-10.

    Two 3x3 convolutions `stem` and `conv2` (64), a 2x2 max pool, `fc1` and `fc2` (256), `head`.
    """

    num_classes: int
    activation: str | Activation = "relu"
    dtype: str = "float32"
    weight_init: str = "glorot_normal"
    batch_norm: bool = False
    width: int = 64

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits float32 [B, num_classes] of images float [B, H, W, C]."""
        check_images("conv2", x)
        if min(x.shape[1:3]) < 2:
            raise JaxticketError(f"conv2 takes images of 2x2 or more, got {x.shape[1]}x{x.shape[2]}")
        layers = Layers(self.weight_init, self.activation, self.dtype, self.batch_norm, train)
        x = layers.conv_act(x, self.width, 3, "stem")
        x = max_pool(layers.conv_act(x, self.width, 3, "conv2"))
        x = x.reshape(x.shape[0], -1)
        x = layers.dense_act(x, 4 * self.width, "fc1")
        x = layers.dense_act(x, 4 * self.width, "fc2")
        return layers.head(x, self.num_classes)
