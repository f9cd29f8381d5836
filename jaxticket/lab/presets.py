"""Presets: which optimizer, how long, what augmentation and what is prunable, for a model on a data set."""

from typing import Any

from jaxticket import data
from jaxticket.models.registry import proper

# Everything but the biases: the fully connected networks of Frankle & Carbin (2019) have no stem, and a head of a
# thousand weights is pruned along with the rest.
ALL_KERNELS = ((r"(.*/)?kernel", True), (r".*", False))

# Frankle & Carbin (2019), figure 2.
_MODELS: dict[str, dict[str, Any]] = {
    "lenet300": {"optimizer": "adam", "lr": 1.2e-3, "batch_size": 60},
    "lenet5": {"optimizer": "adam", "lr": 1.2e-3, "batch_size": 60},
    "conv2": {"optimizer": "adam", "lr": 2e-4, "batch_size": 60},
    "conv4": {"optimizer": "adam", "lr": 3e-4, "batch_size": 60},
    "conv6": {"optimizer": "adam", "lr": 3e-4, "batch_size": 60},
}
_PRUNE_ALL_KERNELS = {"lenet300"}

# All five lines of work train their networks for CIFAR so, with the milestones at half and three quarters.
_CONVOLUTIONAL: dict[str, Any] = {
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "batch_size": 128,
    "schedule": "milestones",
}
# Without a normalisation a network does not stand their learning rate.
_PLAIN: dict[str, Any] = {**_CONVOLUTIONAL, "lr": 0.01}
# Touvron et al. (2021), table 9, without its stronger augmentation.
_TRANSFORMER: dict[str, Any] = {
    "optimizer": "adamw",
    "lr": 5e-4,
    "weight_decay": 0.05,
    "batch_size": 128,
    "schedule": "cosine",
    "warmup_epochs": 5.0,
}
_EPOCHS = {"digits": 40, "emoji32": 60, "imagenet2012": 90, "imagenet_resized/32x32": 40}
_CIFAR_EPOCHS = 160
_GREY_EPOCHS = 20


def apply_preset(config: Any, model: str, dataset: str) -> None:
    """Sets the training and augmentation keys of `config` for a pair; other keys keep their defaults.

    The lenets, Conv-2, -4 and -6 train with Adam for 20 epochs (40 on digits) as in Frankle & Carbin (2019); other
    convolutional networks with SGD for 160 epochs on colour images, as the five lines of work do; Transformers with
    AdamW and a cosine. Augmentation is the data set's customary one.

    Args:
        config: a `ConfigDict` made by `default_config`.
        model: name or alias of a network; `config.model` gets the name proper.
        dataset: name of a data set.
    """
    model, options = proper(model, {})
    config.model.name = model
    with config.unlocked():
        config.model.options.update(options)
    config.data.name = dataset
    if dataset in data.names():  # an unknown name is refused when the configuration is complete
        spec = data.spec(dataset)
        config.data.augment.update(spec.augment)
        long = spec.image_shape[2] == 3 and model not in _MODELS
        config.train.epochs = _EPOCHS.get(dataset, _CIFAR_EPOCHS if long else _GREY_EPOCHS)
    if model in _MODELS:
        config.train.update(_MODELS[model])
    elif model.startswith("vit"):
        config.train.update(_TRANSFORMER)
    else:
        config.train.update(_PLAIN if model == "alexnet" else _CONVOLUTIONAL)
        set_milestones(config, 0.5, 0.75)
    if dataset == "digits":
        _fit_digits(config, model)
    if model in _PRUNE_ALL_KERNELS and "prune" in config:
        config.prune.rules = ALL_KERNELS


def set_milestones(config: Any, *shares: float) -> None:
    """Sets the milestones, as shares of training so that they move with its length, where the schedule has some."""
    if config.train.schedule == "milestones":
        config.train.milestones = shares


def _fit_digits(config: Any, model: str) -> None:
    """Options with which networks for larger images take 8x8 pixels."""
    fitting = {"lenet5": ("padding", "same"), "alexnet": ("stem_stride", 1)}
    if model in fitting:
        with config.unlocked():
            key, value = fitting[model]
            config.model.options[key] = value
