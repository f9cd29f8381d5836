"""How the sanity checks train each network on each data set (Ma et al. 2021, table E.1, and the authors' code)."""

from typing import Any

from jaxticket import models
from jaxticket.core.errors import ConfigError
from jaxticket.lab.presets import apply_preset, check_argument
from jaxticket.models.networks.resnet import WIDE_RESNET32

RECIPES = ("paper", "code")
_CIFAR: dict[str, Any] = {
    "epochs": 160,
    "batch_size": 64,
    "optimizer": "sgd",
    "momentum": 0.9,
    "schedule": "milestones",
    "milestones": (0.5, 0.75),
}
_IMAGENET: dict[str, Any] = {
    "epochs": 90,
    "batch_size": 1024,
    "optimizer": "sgd",
    "momentum": 0.875,
    "weight_decay": 2.0**-15,
    "schedule": "cosine",
    "milestones": (),
    "lr_update": "epoch",
    "label_smoothing": 0.1,
    "compute_dtype": "bfloat16",
}
# Epochs and images per step with which some two hundred networks take minutes (digits) or an hour on two CPU cores.
_SHORT = {"digits": (20, 64), "fashion_mnist": (5, 128), "mnist": (5, 128)}
_CIFAR_LRS = (0.005, 0.01, 0.05, 0.1)
_IMAGENET_LRS = (0.2048, 0.4, 1.024, 1.6, 2.048)
# The authors' profile of their ResNet-32 leaves its two 1x1 shortcuts out; that of their ResNet-20 does not.
_SHORTCUTS_DENSE = ((r"(.*/)?(stem|head|shortcut)/.*", False), (r"(.*/)?kernel", True), (r".*", False))
# The share of an accuracy below which a difference does not count (section 2.2).
_TOLERANCES = {"cifar100": 0.01, "tiny_imagenet": 0.01, "imagenet2012": 0.015}


def apply_sanity_recipe(config: Any, model: str = "lenet300", dataset: str = "digits", recipe: str = "paper") -> None:
    """Sets the keys of a sanity-check study for a pair.

    CIFAR and ImageNet networks train as in the paper, on all training images: it has no validation split. Its ResNet-32
    is twice as wide as that of He et al. (2016a), with shortcuts that are not pruned. What the paper does not have,
    digits and Fashion-MNIST above all, trains by the pair's own preset at a small and a large learning rate, with fewer
    rounds.

    `recipe` is `paper`; or `code`, for the authors' code where it differs: weight decay 1e-4 on CIFAR, a warm-up of 5
    epochs on ImageNet instead of 8, and no layer more than 99 % sparse.

    Raises:
        ConfigError: there is no such recipe.
    """
    check_argument("recipe", recipe, RECIPES)
    apply_preset(config, model, dataset)
    model = config.model.name
    of_code = recipe == "code"
    if model == "resnet32":
        config.prune.rules = _SHORTCUTS_DENSE
        with config.unlocked():
            config.model.options.update(WIDE_RESNET32)
    if dataset in ("cifar10", "cifar100", "tiny_imagenet"):
        config.train.update(_CIFAR)
        config.data.val_fraction = 0.0
        config.train.weight_decay = 1e-4 if of_code else 5e-4
        config.rewind_epochs = 8
        config.lrs = _CIFAR_LRS
        if dataset == "tiny_imagenet":
            config.train.batch_size, config.train.warmup_epochs = 32, 20.0
        elif model == "vgg16" and not of_code:
            config.train.warmup_epochs, config.train.warmup_lr = 75.0, 0.001
    elif dataset == "imagenet2012":
        config.train.update(_IMAGENET)
        config.data.val_fraction = 0.0
        config.train.warmup_epochs = 5.0 if of_code else 8.0
        config.data.augment.mixup = 0.2
        with config.unlocked():
            config.model.options["init"] = "he_normal_fan_in"
        config.rewind_epochs, config.lrs, config.levels = 5, _IMAGENET_LRS, (4, 6, 8, 11)
    else:
        _small(config, dataset)
    if not _has_any_width(model):
        config.settings = tuple(setting for setting in config.settings if setting != "sdt")
    if of_code:
        config.prune.max_layer_sparsity = 0.99
    config.train.lr = max(config.lrs)
    config.verdict.tolerance = _TOLERANCES.get(dataset, 0.005)


def _small(config: Any, dataset: str) -> None:
    """SGD, whose learning rate is what the question is about, seven rounds of 36 %, and short runs."""
    config.train.update(
        optimizer="sgd", momentum=0.9, weight_decay=0.0, schedule="constant", milestones=(), warmup_epochs=0.0
    )
    config.train.epochs, config.train.batch_size = _SHORT.get(dataset, (config.train.epochs, 128))
    config.lrs = (0.001, 0.1)
    config.prune.rate = 0.36
    config.levels = (2, 4, 7)


def _has_any_width(model: str) -> bool:
    """Whether the network can be made narrower as one likes, as small dense networks are."""
    try:
        models.check_model(model, {"width": 1} if model.startswith("conv") else {"width": 0.123})
    except ConfigError:
        return False
    return True
