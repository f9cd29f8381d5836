"""The table of networks: their names, their options and where their code is.

It imports neither Flax nor JAX, so that a configuration is checked before they load. A network is added by
a module with its Linen class and a row here, whose options (see `network_options`) are fields of the class with the
same defaults; the option `init` is the field `weight_init`, for a Linen module has a method `init`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxticket.models import network_options as of


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A row of the table.

    Attributes:
        module: the module of `jaxticket.models` with the network's class.
        factory: the class; its fields are `num_classes`, those of `fixed` and those of `options`.
        options: the dataclass of the network's options.
        fixed: what makes this network of the class: its depth, its blocks.
        aliases: other names by which it is known.
    """

    module: str
    factory: str
    options: type[of.NetworkOptions]
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    aliases: tuple[str, ...] = ()


def _cifar_resnet(blocks: int) -> Architecture:
    fixed = {"stages": (blocks,) * 3, "features": 16, "block": "basic"}
    return Architecture("resnet", "ResNet", of.ResNetOptions, fixed)


def _imagenet_resnet(block: str, *stages: int) -> Architecture:
    return Architecture("resnet", "ResNet", of.ResNetOptions, {"stages": stages, "features": 64, "block": block})


def _preresnet(depth: int) -> Architecture:
    return Architecture("preresnet", "PreActResNet", of.DeepPreResNetOptions, {"depth": depth, "block": "bottleneck"})


def _vgg(*stages: int) -> Architecture:
    return Architecture("vgg", "VGG", of.VGGOptions, {"stages": stages})


def _vit(features: int, heads: int) -> Architecture:
    return Architecture("vit", "VisionTransformer", of.ViTOptions, {"features": features, "heads": heads, "depth": 12})


ARCHITECTURES: dict[str, Architecture] = {
    "lenet300": Architecture("lenet", "LeNet300", of.LeNet300Options, aliases=("fc1",)),
    "lenet5": Architecture("lenet", "LeNet5", of.LeNet5Options),
    "conv2": Architecture("convnet", "ConvNet", of.ConvNetOptions, {"pairs": 1}),
    "conv3": Architecture("convnet", "Conv3", of.Conv3Options),
    "conv4": Architecture("convnet", "ConvNet", of.ConvNetOptions, {"pairs": 2}),
    "conv6": Architecture("convnet", "ConvNet", of.ConvNetOptions, {"pairs": 3}),
    "alexnet": Architecture("convnet", "AlexNet", of.AlexNetOptions),
    "vgg11": _vgg(1, 1, 2, 2, 2),
    "vgg13": _vgg(2, 2, 2, 2, 2),
    "vgg16": _vgg(2, 2, 3, 3, 3),
    "vgg19": _vgg(2, 2, 4, 4, 4),
    "resnet20": _cifar_resnet(3),
    "resnet32": _cifar_resnet(5),
    "resnet44": _cifar_resnet(7),
    "resnet56": _cifar_resnet(9),
    "resnet110": _cifar_resnet(18),
    "resnet18": _imagenet_resnet("basic", 2, 2, 2, 2),
    "resnet34": _imagenet_resnet("basic", 3, 4, 6, 3),
    "resnet50": _imagenet_resnet("bottleneck", 3, 4, 6, 3),
    "resnet101": _imagenet_resnet("bottleneck", 3, 4, 23, 3),
    "resnet152": _imagenet_resnet("bottleneck", 3, 8, 36, 3),
    "preresnet": Architecture("preresnet", "PreActResNet", of.PreResNetOptions, aliases=("resnetb",)),
    "preresnet101": _preresnet(101),
    "preresnet164": _preresnet(164),
    "wide_resnet": Architecture("preresnet", "WideResNet", of.WideResNetOptions),
    "densenet40": Architecture(
        "densenet",
        "DenseNet",
        of.DenseNetOptions,
        {"stages": (12,) * 3, "growth": 12, "stem_features": 24, "bottleneck": False, "compression": 1.0},
    ),
    "densenet121": Architecture(
        "densenet",
        "DenseNet",
        of.DenseNetOptions,
        {"stages": (6, 12, 24, 16), "growth": 32, "stem_features": 64, "bottleneck": True, "compression": 0.5},
    ),
    "mobilenet_v1": Architecture("mobilenet", "MobileNetV1", of.MobileNetV1Options),
    "mobilenet_v2": Architecture("mobilenet", "MobileNetV2", of.MobileNetV2Options),
    "shufflenet_v2": Architecture("shufflenet", "ShuffleNetV2", of.ShuffleNetV2Options),
    "vit_ti": _vit(192, 3),
    "vit_s": _vit(384, 6),
}
