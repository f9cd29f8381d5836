"""Pruning before training: random, magnitude, SNIP, GraSP and SynFlow masks of the initial weights.

    python -m jaxticket.main --config=configs/at_init.py:model=lenet300,dataset=digits

Arguments: `model`, `dataset`. `--config.methods='("snip",)'` takes one of them. Eleven networks for each of three
seeds take 85 seconds on 2 CPU cores (AMD EPYC); expect 0.96 at 90 %.
"""

from jaxticket.experiments import recipe_config


def get_config(argument=None):
    return recipe_config("at_init", argument, seeds=(0, 1, 2))
