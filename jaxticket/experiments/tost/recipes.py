"""How networks with aids are trained on each data set (Jaiswal et al. 2022, and the authors' program)."""

from typing import Any

from jaxticket import models
from jaxticket.lab.presets import apply_preset, check_argument

PRESETS = ("default", "upstream")
_CIFAR: dict[str, Any] = {"epochs": 182, "milestones": (90 / 182, 135 / 182), "weight_decay": 2e-4}


def apply_tost_recipe(config: Any, model: str = "lenet300", dataset: str = "digits", preset: str = "default") -> None:
    """Sets the keys of an experiment with aids for a pair.

    Networks for CIFAR train by the authors' schedule, everything else by the pair's own preset. Networks with another
    nonlinearity get ReLU, which soft activations end in.

    `preset` is `default`; or `upstream`, for the authors' program: swish and ghost skips as they are at first, to the
    end, and scales that are learned before the mask is there.

    Raises:
        ConfigError: there is no such preset.
    """
    check_argument("preset", preset, PRESETS)
    apply_preset(config, model, dataset)
    model = config.model.name
    kind = models.check_model(model, config.model.options.to_dict()).get("activation")
    if isinstance(kind, str) and kind != "relu":
        with config.unlocked():
            config.model.options["activation"] = "relu"
    if dataset in ("cifar10", "cifar100") and config.train.schedule == "milestones":
        config.train.update(_CIFAR)
    if dataset == "digits":
        config.train.epochs = 20
    if model == "conv3" and dataset in ("digits", "fashion_mnist", "mnist"):
        with config.unlocked():
            config.model.options["width"] = 0.25
    if preset == "upstream":
        config.aids.activation = "swish"
        config.aids.permanent = True
        config.aids.rescale_init_options.order = "scale_first"
