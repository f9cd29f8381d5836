"""How early-bird tickets are looked for in each network."""

from typing import Any

from jaxticket import models
from jaxticket.lab.presets import apply_preset


def apply_early_bird_recipe(config: Any, model: str = "conv3", dataset: str = "digits") -> None:
    """Sets the keys of an experiment with early-bird tickets for a pair.

    Whole channels are ranked by the scales of their normalisations, with an L1 penalty on these; single weights where a
    network has none. Digits train for 20 epochs, and conv3 with a quarter of its width.

    """
    apply_preset(config, model, dataset)
    config.ratios = (0.1, 0.3, 0.5)
    config.retrain = ("inherit", "rewind", "reinit")
    with config.unlocked():
        if "norm_scale" in models.option_names(model):
            config.train.bn_l1 = 1e-4
            config.model.options["norm_scale"] = 0.5
        else:
            config.kind = "unstructured"
        if dataset == "digits":
            config.train.epochs = 20
            if model == "conv3":
                config.model.options["width"] = 0.25
