"""Gradual magnitude pruning: sparsity grows along a cubic while the network trains (GMP).

    python -m jaxticket.main --config=configs/gradual.py:model=lenet300,dataset=digits

Arguments: `model`, `dataset`. `begin` and `end` are shares of all steps. Three networks for each of three seeds take
20 seconds on 2 CPU cores (AMD EPYC); expect 0.975 at 90 %.
"""

from jaxticket.experiments import recipe_config


def get_config(argument=None):
    return recipe_config("gradual", argument, seeds=(0, 1, 2))
