"""Pruning before training: random, magnitude, SNIP, GraSP and SynFlow masks of the initial weights.

    jaxticket run --config=at_init:model=lenet300,dataset=digits

Arguments: `model`, `dataset`. `--config.methods='("snip",)'` takes one of them. Expect 0.96 at 90 %.

Takes: 85 seconds on 2 cores of an AMD EPYC, eleven networks for each of three seeds.
"""

from jaxticket.experiments import recipe_config


def get_config(argument=None):
    return recipe_config("at_init", argument, seeds=(0, 1, 2))
