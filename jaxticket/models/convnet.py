"""The small convolutional networks: Conv-2, -4 and -6 of the lottery ticket hypothesis, COLT's Conv-3 and AlexNet."""

import jax
from flax import linen as nn

from jaxticket.models.layers import Activation, Layers, check_images, global_average, max_pool, scaled


class ConvNet(nn.Module):
    """Conv-2, Conv-4, Conv-6 (Frankle and Carbin 2019, figure 2): scaled-down VGGs for CIFAR-10.

    Pairs of 3x3 convolutions, `stem`, `conv2`, ..., of 64, 128 and 256 channels, each pair with a 2x2 max pool;
    then `fc1` and `fc2` (256) and `head`.
    """

    num_classes: int
    pairs: int
    activation: str | Activation = "relu"
    dtype: str = "float32"
    weight_init: str = "glorot_normal"
    batch_norm: bool = False
    width: int = 64

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits float32 [B, num_classes] of images float [B, H, W, C]."""
        check_images(f"conv{2 * self.pairs}", x, 2**self.pairs)
        layers = Layers(self.weight_init, self.activation, self.dtype, self.batch_norm, train)
        for i in range(self.pairs):
            features = self.width * 2**i
            x = layers.conv_act(x, features, 3, f"conv{2 * i + 1}" if i else "stem")
            x = max_pool(layers.conv_act(x, features, 3, f"conv{2 * i + 2}"))
        x = x.reshape(x.shape[0], -1)
        x = layers.dense_act(x, 4 * self.width, "fc1")
        x = layers.dense_act(x, 4 * self.width, "fc2")
        return layers.head(x, self.num_classes)


class Conv3(nn.Module):
    """COLT's small network: three times 3x3 convolution with bias, normalisation, 2x2 max pool, nonlinearity.

    `stem` (64), `conv2` (128), `conv3` (256), mean over the image, `head`.
    """

    num_classes: int
    activation: str | Activation = "relu"
    dtype: str = "float32"
    weight_init: str = "torch"
    head_init: str = "same"
    norm_scale: float = 1.0
    width: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits float32 [B, num_classes] of images float [B, H, W, C]."""
        check_images("conv3", x, 8)
        layers = Layers(self.weight_init, self.activation, self.dtype, True, train, self.head_init, self.norm_scale)
        for name, features in (("stem", 64), ("conv2", 128), ("conv3", 256)):
            x = layers.conv_norm(x, scaled(features, self.width), 3, name, bias=True)
            x = layers.act(max_pool(x))
        return layers.head(global_average(x), self.num_classes)


class AlexNet(nn.Module):
    """AlexNet's five convolutions (Krizhevsky 2014) for small images, as COLT has them.

    `stem` (11x11, 64), `conv2` (5x5, 192), `conv3` (384), `conv4` and `conv5` (256), a 2x2 max pool after the first
    two and the last, mean over the image, `head`; biases, and no normalisation unless it is asked for.
    """

    num_classes: int
    activation: str | Activation = "relu"
    dtype: str = "float32"
    weight_init: str = "torch"
    batch_norm: bool = False
    stem_stride: int = 4

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits float32 [B, num_classes] of images float [B, H, W, C]."""
        # Three pools need eight rows after the stem.
        least, remedy = 7 * self.stem_stride + 1, "set config.model.options={'stem_stride': 1}"
        check_images(f"alexnet with stem_stride={self.stem_stride}", x, least, remedy if self.stem_stride > 1 else "")
        layers = Layers(self.weight_init, self.activation, self.dtype, self.batch_norm, train)
        x = layers.conv_act(x, 64, 11, "stem", stride=self.stem_stride)
        x = max_pool(x)
        x = max_pool(layers.conv_act(x, 192, 5, "conv2"))
        for name, features in (("conv3", 384), ("conv4", 256), ("conv5", 256)):
            x = layers.conv_act(x, features, 3, name)
        return layers.head(global_average(max_pool(x)), self.num_classes)
