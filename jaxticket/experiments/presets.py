"""Presets: which optimizer, how long, and what is prunable, for a model on a data set."""

from typing import Any

# Everything but the biases: the fully connected networks of Frankle & Carbin (2019) have no stem, and a head of a
# thousand weights is pruned along with the rest.
ALL_KERNELS = ((r"(.*/)?kernel", True), (r".*", False))

_MODELS: dict[str, dict[str, Any]] = {
    "lenet300": {"optimizer": "adam", "lr": 1.2e-3, "batch_size": 60},
    "lenet5": {"optimizer": "adam", "lr": 1.2e-3, "batch_size": 60},
    "conv2": {"optimizer": "adam", "lr": 2e-4, "batch_size": 60},
}
_MODELS["fc1"] = _MODELS["lenet300"]
_PRUNE_ALL_KERNELS = {"lenet300", "fc1"}
_EPOCHS = {"digits": 40}


def apply_preset(config: Any, model: str, dataset: str) -> None:
    """Sets the training keys of `config` for a pair; keys the preset does not know keep their defaults.

    The lenets and Conv-2 train with Adam as in Frankle & Carbin (2019), figure 2.

    Args:
        config: a `ConfigDict` made by `default_config`.
        model: name of a network.
        dataset: name of a data set.
    """
    config.model.name = model
    config.data.name = dataset
    config.train.update(_MODELS.get(model, {}))
    if (model, dataset) == ("lenet5", "digits"):
        with config.unlocked():
            config.model.options.padding = "same"  # two 5x5 convolutions without padding need 16x16
    config.train.epochs = _EPOCHS.get(dataset, 20)
    if model in _PRUNE_ALL_KERNELS and "prune" in config:
        config.prune.rules = ALL_KERNELS
