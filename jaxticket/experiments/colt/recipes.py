"""How COLT and its baseline train each network on each data set (arXiv 2212.12770 and its published program)."""

from typing import Any

from jaxticket.lab.presets import apply_preset

# The program's schedule: a warm-up within the first epoch, then a fifth at each milestone. It steps its milestones of
# 20, 30 and 45 once less than it trains epochs.
_SCHEDULE: dict[str, Any] = {
    "epochs": 50,
    "batch_size": 256,
    "warmup_epochs": 1.0,
    "schedule": "milestones",
    "milestones": (21 / 50, 31 / 50, 46 / 50),
    "gamma": 0.2,
}
# The program trains these with Adam, at a learning rate that leaves the choice to the user; Adam's own default here.
_ADAM: dict[str, Any] = {"optimizer": "adam", "lr": 1e-3, "weight_decay": 1e-4}
_SGD: dict[str, Any] = {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
_WITH_ADAM = ("conv3", "lenet300", "lenet5")
_ROTATION = {"cifar10": 15.0, "cifar100": 15.0, "tiny_imagenet": 20.0}
# Its fully connected network has no convolution to prune.
_DENSE_ONLY = ("lenet300",)
# Of these its networks are not those of their papers.
_OWN_VARIANTS = ("densenet121", "lenet5", "mobilenet_v2", "shufflenet_v2")


def apply_colt_recipe(config: Any, model: str = "conv3", dataset: str = "digits") -> None:
    """Sets the training, augmentation and pruning keys of `config` for a pair.

    Networks are those of the published program (its own variants of LeNet-5, DenseNet-121, MobileNet-v2 and
    ShuffleNet-v2) and train as it trains them, for 50 epochs; on digits for 10, with SGD. Convolutions lose
    15 % of their weights in a round of COLT and 20 % in one of LTH, until 99 % are gone; a network without
    convolutions loses weights of its hidden layers.

    """
    apply_preset(config, model, dataset)
    model = config.model.name
    if model in _OWN_VARIANTS:
        with config.unlocked():
            config.model.options["variant"] = "colt"
    config.train.update(_SCHEDULE)
    config.train.update(_ADAM if model in _WITH_ADAM else _SGD)
    if model == "alexnet":
        config.train.lr = 0.01
    config.data.augment.rotation = _ROTATION.get(dataset, 0.0)
    if dataset == "tiny_imagenet":
        config.data.augment.crop_padding = 0
    if dataset == "digits":
        config.train.update(epochs=10, batch_size=64, milestones=(0.5, 0.7, 0.9))
        if model == "conv3":
            config.train.update(_SGD, lr=0.05)
            with config.unlocked():
                config.model.options["width"] = 0.25
    if "rates" in config:
        config.rounds, config.target = 40, 0.99
        if model in _DENSE_ONLY:
            config.rates, config.lth_rates = (("dense", 0.15),), (("dense", 0.2),)
