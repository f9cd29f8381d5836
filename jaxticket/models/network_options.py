"""What each family of networks can be told, checked without importing Flax or JAX."""

import dataclasses
from typing import Any

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option

ACTIVATIONS = ("relu", "relu6", "swish", "mish", "gelu", "softplus", "elu", "lisht", "tanh")
DTYPES = ("float32", "bfloat16")
INITS = ("glorot_normal", "he_normal", "he_normal_fan_in", "gaussian_0.01", "gaussian_0.02", "torch")
# Wider and deeper ones than anybody trains; what memory allows is found out from their shapes.
_WIDEST, _DEEPEST = 256, 2000
_VARIANTS = ("auto", "cifar", "imagenet")


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """What every network is told.

    Attributes:
        activation: one of `ACTIVATIONS`, or, outside of configurations, any function of one array.
        dtype: of activations; parameters are always float32.
        init: scheme of the initial weights, see `initializers`.
    """

    activation: Any = "relu"
    dtype: str = option("float32", choices=DTYPES)
    init: str = option("he_normal", choices=INITS)

    def check(self, where: str) -> None:
        """Refuses an activation that is neither a known name nor a function."""
        if not callable(self.activation) and self.activation not in ACTIVATIONS:
            raise ConfigError(
                f"config.{where}.activation={self.activation!r}: must be one of {', '.join(ACTIVATIONS)}, "
                f"or a function given to create_model"
            )


@dataclasses.dataclass(frozen=True)
class LeNet300Options(NetworkOptions):
    """Options of `lenet300`.

    Attributes:
        width: factor on the numbers of hidden units.
    """

    init: str = option("glorot_normal", choices=INITS)
    width: float = option(1.0, above=0, maximum=_WIDEST)


@dataclasses.dataclass(frozen=True)
class LeNet5Options(NetworkOptions):
    """Options of `lenet5`.

    Attributes:
        batch_norm: whether a batch normalisation follows each convolution.
        padding: of the convolutions; `valid` is none and needs images of 16x16 or more.
        variant: whether the last maps become a vector as they are (`classic`) or by their means (`colt`).
        width: factor on the numbers of channels and of hidden units.
    """

    init: str = option("glorot_normal", choices=INITS)
    width: float = option(1.0, above=0, maximum=_WIDEST)
    batch_norm: bool = option(False)
    padding: str = option("valid", choices=("valid", "same"))
    variant: str = option("classic", choices=("classic", "colt"))


@dataclasses.dataclass(frozen=True)
class ConvNetOptions(NetworkOptions):
    """Options of `conv2`, `conv4` and `conv6`.

    Attributes:
        batch_norm: whether a batch normalisation follows each convolution.
        width: channels of the first convolutions; the hidden dense layers have four times as many units.
    """

    init: str = option("glorot_normal", choices=INITS)
    batch_norm: bool = option(False)
    width: int = option(64, minimum=1, maximum=64 * _WIDEST)


@dataclasses.dataclass(frozen=True)
class AlexNetOptions(NetworkOptions):
    """Options of `alexnet`.

    Attributes:
        batch_norm: whether a batch normalisation follows each convolution.
        stem_stride: of the first convolution; images have at least `7 * stem_stride + 1` pixels a side.
    """

    init: str = option("torch", choices=INITS)
    batch_norm: bool = option(False)
    stem_stride: int = option(4, minimum=1)


@dataclasses.dataclass(frozen=True)
class NormalisedOptions(NetworkOptions):
    """What networks with batch normalisation everywhere are told.

    Attributes:
        head_init: scheme of the classifier's weights; `same` is `init`.
        norm_scale: initial scale of the normalisations; network slimming starts from 0.5.
    """

    head_init: str = option("torch", choices=("same", *INITS))
    norm_scale: float = option(1.0, above=0)


@dataclasses.dataclass(frozen=True)
class Conv3Options(NormalisedOptions):
    """Options of `conv3`.

    Attributes:
        width: factor on the numbers of channels.
    """

    init: str = option("torch", choices=INITS)
    head_init: str = option("same", choices=("same", *INITS))
    width: float = option(1.0, above=0, maximum=_WIDEST)


@dataclasses.dataclass(frozen=True)
class VGGOptions(NormalisedOptions):
    """Options of the VGGs.

    Attributes:
        width: factor on the numbers of channels.
        conv_bias: whether convolutions have a bias beside the normalisation, as those of Structure-LTH do.
        last_pool: before the mean over the image stands nothing more (`average`, images of 16x16 or more) or a
            fifth max pool (`max`, 32x32 or more).
    """

    head_init: str = option("gaussian_0.01", choices=("same", *INITS))
    width: float = option(1.0, above=0, maximum=_WIDEST)
    conv_bias: bool = option(False)
    last_pool: str = option("average", choices=("average", "max"))


@dataclasses.dataclass(frozen=True)
class ResNetOptions(NormalisedOptions):
    """Options of the ResNets.

    Attributes:
        width: factor on the numbers of channels; the sanity checks' ResNet-32 has 2.
        variant: `cifar` starts with a 3x3 convolution, `imagenet` with a 7x7 one with stride 2 and a max pool; `auto`
            goes by the size of the images, from 112 pixels `imagenet`.
        shortcut: where shapes change, a 1x1 convolution (`conv`) or zero channels (`pad`).
    """

    width: float = option(1.0, above=0, maximum=_WIDEST)
    variant: str = option("auto", choices=_VARIANTS)
    shortcut: str = option("conv", choices=("conv", "pad"))


@dataclasses.dataclass(frozen=True)
class DeepPreResNetOptions(NormalisedOptions):
    """Options of pre-activation ResNets of a fixed depth.

    Attributes:
        width: factor on the numbers of channels.
        shortcut_input: what a convolutional shortcut reads: the input of its block (`block`), or that input
            normalised and activated (`activated`).
    """

    norm_scale: float = option(0.5, above=0)
    width: float = option(1.0, above=0, maximum=_WIDEST)
    shortcut_input: str = option("block", choices=("block", "activated"))


@dataclasses.dataclass(frozen=True)
class PreResNetOptions(DeepPreResNetOptions):
    """Options of `preresnet`.

    Attributes:
        depth: 9n + 2 with bottlenecks, 6n + 2 with basic blocks.
        block: `bottleneck` or `basic`.
    """

    depth: int = option(20, minimum=8, maximum=_DEEPEST)
    block: str = option("bottleneck", choices=("bottleneck", "basic"))

    def check(self, where: str) -> None:
        """Refuses depths that no number of blocks gives."""
        super().check(where)
        _check_depth(where, self.depth, 9 if self.block == "bottleneck" else 6, 2, f" with block={self.block!r}")


@dataclasses.dataclass(frozen=True)
class WideResNetOptions(NormalisedOptions):
    """Options of `wide_resnet`.

    Attributes:
        depth: 6n + 4.
        width: factor on the numbers of channels.
    """

    depth: int = option(28, minimum=10, maximum=_DEEPEST)
    width: float = option(10.0, above=0, maximum=_WIDEST)

    def check(self, where: str) -> None:
        """Refuses depths that no number of blocks gives."""
        super().check(where)
        _check_depth(where, self.depth, 6, 4, "")


@dataclasses.dataclass(frozen=True)
class DenseNetOptions(NormalisedOptions):
    """Options of the DenseNets.

    Attributes:
        variant: which first and transition layers, see `densenet`; `auto` goes by the size of the images.
    """

    variant: str = option("auto", choices=(*_VARIANTS, "colt"))


@dataclasses.dataclass(frozen=True)
class MobileNetV1Options(NormalisedOptions):
    """Options of `mobilenet_v1`.

    Attributes:
        width: factor on the numbers of channels, which stay multiples of 8.
        variant: whether the first convolution has stride 1 (`cifar`) or 2 (`imagenet`); `auto` goes by the size of
            the images.
    """

    init: str = option("torch", choices=INITS)
    width: float = option(1.0, above=0, maximum=_WIDEST)
    variant: str = option("auto", choices=_VARIANTS)


@dataclasses.dataclass(frozen=True)
class MobileNetV2Options(NormalisedOptions):
    """Options of `mobilenet_v2`.

    Attributes:
        width: factor on the numbers of channels, which stay multiples of 8.
        variant: which strides and first layers, see `mobilenet`; `auto` goes by the size of the images.
    """

    activation: Any = "relu6"
    head_init: str = option("gaussian_0.01", choices=("same", *INITS))
    width: float = option(1.0, above=0, maximum=_WIDEST)
    variant: str = option("auto", choices=(*_VARIANTS, "colt"))


@dataclasses.dataclass(frozen=True)
class ShuffleNetV2Options(NormalisedOptions):
    """Options of `shufflenet_v2`.

    Attributes:
        width: which of the paper's four sizes.
        variant: which strides and first layers, see `shufflenet`; `auto` goes by the size of the images.
    """

    init: str = option("torch", choices=INITS)
    width: float = option(1.0, choices=(0.5, 1.0, 1.5, 2.0))
    variant: str = option("auto", choices=(*_VARIANTS, "colt"))


@dataclasses.dataclass(frozen=True)
class ViTOptions(NetworkOptions):
    """Options of the Vision Transformers.

    Attributes:
        head_init: scheme of the classifier's weights; `same` is `init`.
        patch_size: pixels a side; 0 is 16 for images of 112 pixels or more and 4 for smaller ones.
        pool: what the classifier reads: a class `token`, or the `mean` over all patches.
    """

    activation: Any = "gelu"
    init: str = option("gaussian_0.02", choices=INITS)
    head_init: str = option("same", choices=("same", *INITS))
    patch_size: int = option(0, minimum=0)
    pool: str = option("token", choices=("token", "mean"))


def _check_depth(where: str, depth: int, layers: int, others: int, condition: str) -> None:
    if depth % layers != others:
        below = max(1, (depth - others) // layers) * layers + others
        raise ConfigError(
            f"config.{where}.depth={depth}: must be {layers}n + {others}{condition}, such as {below} or "
            f"{below + layers}"
        )
