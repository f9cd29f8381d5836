"""LeNet-300-100 and LeNet-5 (LeCun et al. 1998), as the lottery ticket papers use them."""

import jax
from flax import linen as nn

from jaxticket.core.errors import JaxticketError
from jaxticket.models.layers import Activation, Layers, check_images, global_average, max_pool, scaled


class LeNet300(nn.Module):
    """Flatten, 300, 100, num_classes: layers `fc1`, `fc2`, `head` (Frankle and Carbin 2019, section 2)."""

    num_classes: int
    activation: str | Activation = "relu"
    dtype: str = "float32"
    weight_init: str = "glorot_normal"
    width: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits float32 [B, num_classes] of images float [B, H, W, C]."""
        check_images("lenet300", x)
        layers = Layers(self.weight_init, self.activation, self.dtype)
        x = x.reshape(x.shape[0], -1)
        x = layers.dense_act(x, scaled(300, self.width), "fc1")
        x = layers.dense_act(x, scaled(100, self.width), "fc2")
        return layers.head(x, self.num_classes)


class LeNet5(nn.Module):
    """5x5 convolutions `stem` (6), `conv2` (16), each with a 2x2 max pool; `fc1` (120), `fc2` (84), `head`.

    Variants: `classic` flattens the last maps for `fc1` (LeCun et al. 1998); `colt` averages each over the image, as
    the program of that paper does.
    """

    num_classes: int
    activation: str | Activation = "relu"
    dtype: str = "float32"
    weight_init: str = "glorot_normal"
    batch_norm: bool = False
    padding: str = "valid"
    variant: str = "classic"
    width: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits float32 [B, num_classes] of images float [B, H, W, C]."""
        check_images("lenet5", x)
        self._check_size(x.shape[1], x.shape[2])
        layers = Layers(self.weight_init, self.activation, self.dtype, self.batch_norm, train)
        x = max_pool(layers.conv_act(x, scaled(6, self.width), 5, "stem", padding=self.padding))
        x = max_pool(layers.conv_act(x, scaled(16, self.width), 5, "conv2", padding=self.padding))
        x = global_average(x) if self.variant == "colt" else x.reshape(x.shape[0], -1)
        x = layers.dense_act(x, scaled(120, self.width), "fc1")
        x = layers.dense_act(x, scaled(84, self.width), "fc2")
        return layers.head(x, self.num_classes)

    def _check_size(self, height: int, width: int) -> None:
        least = 16 if self.padding == "valid" else 4
        if min(height, width) < least:
            remedy = "; set config.model.options={'padding': 'same'}" if self.padding == "valid" else ""
            raise JaxticketError(
                f"lenet5 with padding={self.padding!r} takes images of {least}x{least} or more, "
                f"got {height}x{width}{remedy}"
            )
