"""One-shot magnitude pruning of a trained network, and training on (OMP).

    jaxticket run --config=oneshot:model=lenet300,dataset=digits

Arguments: `model`, `dataset`. `--config.prune.criterion=snip` ranks by first-order Taylor importance, `lamp` and `obd`
are others; `--config.retrain=lr_rewind` or `finetune` keeps the trained weights. Expect 0.97 at 80 % and 0.95 at 95 %.

Takes: half a minute on 2 cores of an AMD EPYC, five networks for each of three seeds.
"""

from jaxticket.experiments import recipe_config


def get_config(argument=None):
    return recipe_config("oneshot", argument, seeds=(0, 1, 2))
