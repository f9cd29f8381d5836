"""Sparse from the first step to the last, with a mask that moves: SET and RigL next to a static random mask.

    jaxticket run --config=dynamic:model=lenet300,dataset=digits

Arguments: `model`, `dataset`. Every `every_steps` steps each layer exchanges a share `rate` of its weights. Expect 0.97
at 90 %.

Takes: half a minute on 2 cores of an AMD EPYC, seven networks for each of three seeds.
"""

from jaxticket.experiments import recipe_config


def get_config(argument=None):
    return recipe_config("dynamic", argument, seeds=(0, 1, 2))
