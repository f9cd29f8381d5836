"""Presets: which optimizer, how long, what augmentation and what is prunable, for a model on a data set."""

from collections.abc import Sequence
from typing import Any

from jaxticket import data, models
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import must_be_one_of
from jaxticket.models.registry import NETWORKS, proper

# Everything but the biases.
ALL_KERNELS = ((r"(.*/)?kernel", True), (r".*", False))

# All five lines of work train their networks for CIFAR so, with the milestones at half and three quarters.
_CONVOLUTIONAL: dict[str, Any] = {
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "batch_size": 128,
    "schedule": "milestones",
}
_EPOCHS = {"digits": 40, "emoji32": 60, "imagenet2012": 90, "imagenet_resized/32x32": 40}
_CIFAR_EPOCHS = 160
_GREY_EPOCHS = 20


def apply_preset(config: Any, model: str = "lenet300", dataset: str = "digits") -> None:
    """Sets the training and augmentation keys of `config` for a pair; other keys keep their defaults.

    A network trains as its row says (`models.Network.train`); one that names no optimizer with SGD, for 160 epochs on
    colour images and 20 on grey ones, as the five lines of work do. Augmentation is the data set's customary one. Data
    of one's own, `folder:PATH` and the like, is not read for this: it is trained on as CIFAR is, with no augmentation.

    Args:
        config: a `ConfigDict` made by `default_config`.
        model: name or alias of a network; `config.model` gets the name proper.
        dataset: name of a data set, or of data of one's own by its place.
    """
    model, options = proper(model, {})
    # An unknown name, of a network or of a data set, is refused when the configuration is complete.
    network = models.network(model) if model in NETWORKS else models.Network(model, dict)
    small = network.small_images if dataset == "digits" else {}
    config.model.name = model
    with config.unlocked():
        config.model.options.update({**options, **small})
    config.data.name = dataset
    train = {**({} if "optimizer" in network.train else _CONVOLUTIONAL), **network.train}
    if dataset in data.names():
        spec = data.spec(dataset)
        config.data.augment.update(spec.augment)
        customary = train.get("epochs", _CIFAR_EPOCHS if spec.image_shape[2] == 3 else _GREY_EPOCHS)
        train["epochs"] = _EPOCHS.get(dataset, customary)
    train.setdefault("epochs", _CIFAR_EPOCHS)
    config.train.update(train)
    set_milestones(config, 0.5, 0.75)
    if network.prune_all and "prune" in config:
        config.prune.rules = ALL_KERNELS


def check_argument(name: str, value: str, known: Sequence[str]) -> None:
    """Refuses a value of an argument of a config file that is not among the known ones, with a `ConfigError`."""
    if value not in known:
        raise ConfigError(f"config argument '{name}={value}': {must_be_one_of(value, known)}")


def set_milestones(config: Any, *shares: float) -> None:
    """Sets the milestones, as shares of training so that they move with its length, where the schedule has some."""
    if config.train.schedule == "milestones":
        config.train.milestones = shares
