"""How structured tickets are trained on each data set (Chen et al. 2022, table 1 and section 4)."""

from typing import Any

from jaxticket.lab.presets import apply_preset, check_argument, set_milestones
from jaxticket.models.networks.resnet import WIDE_RESNET32

PRESETS = ("paper", "upstream")

_SGD: dict[str, Any] = {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "schedule": "milestones", "batch_size": 128}
_CIFAR: dict[str, Any] = {**_SGD, "epochs": 160, "milestones": (0.5, 0.75)}
_LONG: dict[str, Any] = {**_SGD, "epochs": 95, "milestones": (30 / 95, 60 / 95)}
_RECIPES: dict[str, dict[str, Any]] = {
    "cifar10": {**_CIFAR, "weight_decay": 1e-4},
    "cifar100": {**_CIFAR, "weight_decay": 2e-4},
    "tiny_imagenet": {**_LONG, "weight_decay": 5e-4, "batch_size": 32},
    # The paper does not say which batch size.
    "imagenet2012": {**_LONG, "weight_decay": 1e-4, "batch_size": 256},
}
_EXCEPTIONS: dict[tuple[str, str], dict[str, Any]] = {
    ("vgg16", "cifar10"): {"weight_decay": 2e-4},
    ("vgg16", "cifar100"): {"weight_decay": 5e-4},
    ("mobilenet_v1", "cifar100"): {"batch_size": 64},
}
# Share of the epochs at which the rewind point lies.
_REWIND = {"paper": 0.05, "upstream": 0.1}
# The published program prunes every convolution but one named `conv1`, which the first one of a VGG is not.
_ALL_CONVOLUTIONS = ((r"head/.*", False), (r"(.*/)?kernel", True), (r".*", False))


def apply_structured_recipe(config: Any, model: str = "conv3", dataset: str = "digits", preset: str = "paper") -> None:
    """Sets the keys of an experiment with structured tickets for a pair.

    CIFAR and ImageNet networks train as in the paper, for nine rounds; `resnet32` is its WRN-32-2. What it does not
    have, digits above all, trains by the pair's own preset, and short, for five larger rounds.

    `preset` is `paper`; or `upstream`, for the published program where it differs: a later rewind point, refill by the
    number of survivors, eight groups whose blocks need 17 rows, groups without a block dropped, and the first
    convolution of a VGG pruned too.

    Raises:
        ConfigError: there is no such preset.
    """
    check_argument("preset", preset, PRESETS)
    apply_preset(config, model, dataset)
    model = config.model.name
    if model == "resnet32":
        with config.unlocked():
            config.model.options.update(WIDE_RESNET32)
    if dataset in _RECIPES:
        config.train.update({**_RECIPES[dataset], **_EXCEPTIONS.get((model, dataset), {})})
        config.levels = 9
    else:
        _small(config, model, dataset)
    config.rewind_epochs = max(1, round(_REWIND[preset] * config.train.epochs))
    if preset == "upstream":
        config.refill.criterion = "remain"
        config.regroup.update(
            groups=8, rule="upstream", min_rows=17, on_dense_group="drop", on_small_group="drop", max_density=1.0
        )
        if model.startswith("vgg"):
            config.prune.rules = _ALL_CONVOLUTIONS


def _small(config: Any, model: str, dataset: str) -> None:
    """A study of minutes: rounds of 36 %, which is two of 20 %."""
    config.prune.rate, config.levels = 0.36, 5
    if dataset == "digits":
        config.train.epochs = 5
        config.train.warmup_epochs = min(config.train.warmup_epochs, 1.0)
        set_milestones(config, 0.6, 0.8)
        if model == "conv3":
            with config.unlocked():
                config.model.options["width"] = 0.25
