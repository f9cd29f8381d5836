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
        aliases: other names by which it is known -> the options that such a name stands for.
        version: raised when the same name and options come to mean another network; enters the keys of stages.
    """

    module: str
    factory: str
    options: type[of.NetworkOptions]
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    aliases: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    version: int = 1


# The ResNet-32 of the sanity checks and, as `wrn32`, of Structure-LTH.
WIDE_RESNET32: Mapping[str, Any] = {"width": 2.0, "head_init": "gaussian_0.01"}


def _cifar_resnet(depth: int, **aliases: Mapping[str, Any]) -> Architecture:
    fixed = {"stages": ((depth - 2) // 6,) * 3, "features": 16, "block": "basic"}
    # Structure-LTH and ToST call them so.
    named = {f"res{depth}s": {}, f"resnet{depth}s": {}}
    return Architecture("resnet", "ResNet", of.ResNetOptions, fixed, {**named, **aliases})


def _imagenet_resnet(depth: int, block: str, *stages: int) -> Architecture:
    fixed = {"stages": stages, "features": 64, "block": block}
    # Structure-LTH's have the stem for small images whatever the size.
    return Architecture("resnet", "ResNet", of.ResNetOptions, fixed, {f"res{depth}": {"variant": "cifar"}})


def _preresnet(depth: int) -> Architecture:
    return Architecture("preresnet", "PreActResNet", of.DeepPreResNetOptions, {"depth": depth, "block": "bottleneck"})


def _vgg(depth: int, *stages: int) -> Architecture:
    return Architecture("vgg", "VGG", of.VGGOptions, {"stages": stages}, {f"vgg{depth}_bn": {}})


def _vit(features: int, heads: int) -> Architecture:
    return Architecture("vit", "VisionTransformer", of.ViTOptions, {"features": features, "heads": heads, "depth": 12})


ARCHITECTURES: dict[str, Architecture] = {
    "lenet300": Architecture("lenet", "LeNet300", of.LeNet300Options, aliases={"fc1": {}}),
    "lenet5": Architecture("lenet", "LeNet5", of.LeNet5Options, version=2),
    "conv2": Architecture("convnet", "ConvNet", of.ConvNetOptions, {"pairs": 1}),
    "conv3": Architecture("convnet", "Conv3", of.Conv3Options),
    "conv4": Architecture("convnet", "ConvNet", of.ConvNetOptions, {"pairs": 2}),
    "conv6": Architecture("convnet", "ConvNet", of.ConvNetOptions, {"pairs": 3}),
    "alexnet": Architecture("convnet", "AlexNet", of.AlexNetOptions),
    "vgg11": _vgg(11, 1, 1, 2, 2, 2),
    "vgg13": _vgg(13, 2, 2, 2, 2, 2),
    "vgg16": _vgg(16, 2, 2, 3, 3, 3),
    "vgg19": _vgg(19, 2, 2, 4, 4, 4),
    "resnet20": _cifar_resnet(20),
    "resnet32": _cifar_resnet(32, wrn32=WIDE_RESNET32),
    "resnet44": _cifar_resnet(44),
    "resnet56": _cifar_resnet(56),
    "resnet110": _cifar_resnet(110),
    "resnet18": _imagenet_resnet(18, "basic", 2, 2, 2, 2),
    "resnet34": _imagenet_resnet(34, "basic", 3, 4, 6, 3),
    "resnet50": _imagenet_resnet(50, "bottleneck", 3, 4, 6, 3),
    "resnet101": _imagenet_resnet(101, "bottleneck", 3, 4, 23, 3),
    "resnet152": _imagenet_resnet(152, "bottleneck", 3, 8, 36, 3),
    "preresnet": Architecture(
        "preresnet", "PreActResNet", of.PreResNetOptions, aliases={"resnetb": {}, "resnet": {"block": "basic"}}
    ),
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
        {"densenet": {}},
    ),
    "mobilenet_v1": Architecture(
        "mobilenet", "MobileNetV1", of.MobileNetV1Options, aliases={"mobilenet": {}, "mobilenetv1": {}}
    ),
    "mobilenet_v2": Architecture("mobilenet", "MobileNetV2", of.MobileNetV2Options, aliases={"mobilenetv2": {}}),
    "shufflenet_v2": Architecture("shufflenet", "ShuffleNetV2", of.ShuffleNetV2Options, aliases={"shufflenetv2": {}}),
    "vit_ti": _vit(192, 3),
    "vit_s": _vit(384, 6),
}
