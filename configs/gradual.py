"""Gradual magnitude pruning: sparsity grows along a cubic while the network trains (GMP).

    python -m jaxticket.main --config=configs/gradual.py:model=lenet300,dataset=digits

Arguments: `model`, `dataset`. `begin` and `end` are shares of all steps. Three networks for each of three seeds take
20 seconds on 2 CPU cores (AMD EPYC); expect 0.975 at 90 %.
"""

from jaxticket.experiments import default_config, parse_arguments
from jaxticket.lab.presets import apply_preset


def get_config(argument=None):
    arguments = parse_arguments(argument, model="lenet300", dataset="digits")
    config = default_config("gradual")
    apply_preset(config, **arguments)
    config.seeds = (0, 1, 2)
    return config
