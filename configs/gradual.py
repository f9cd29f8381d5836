"""Gradual magnitude pruning: sparsity grows along a cubic while the network trains (GMP).

    jaxticket run --config=gradual:model=lenet300,dataset=digits

Arguments: `model`, `dataset`. `begin` and `end` are shares of all steps. Expect 0.975 at 90 %.

Takes: 20 seconds on 2 cores of an AMD EPYC, three networks for each of three seeds.
"""

from jaxticket.experiments import recipe_config


def get_config(argument=None):
    return recipe_config("gradual", argument, seeds=(0, 1, 2))
