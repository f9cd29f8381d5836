"""Sparse from the first step to the last, with a mask that moves: SET and RigL next to a static random mask.

    python -m jaxticket.main --config=configs/dynamic.py:model=lenet300,dataset=digits

Arguments: `model`, `dataset`. Every `every_steps` steps each layer exchanges a share `rate` of its weights. Seven
networks for each of three seeds take half a minute on 2 CPU cores (AMD EPYC); expect 0.97 at 90 %.
"""

from jaxticket.experiments import recipe_config


def get_config(argument=None):
    return recipe_config("dynamic", argument, seeds=(0, 1, 2))
