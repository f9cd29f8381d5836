"""Structurally sparse tickets: the mask of a ticket becomes whole channels or dense blocks, rewound and trained again.

    jaxticket run --config=structured:model=conv3,dataset=digits

Arguments: `model`, `dataset`, and `preset`: `paper`, or `upstream` for what the published program does differently.
Beside the unstructured ticket every level has `refill`, `refill_plus` and `regroup`, each from the rewind point and
from other initial weights (`_random`). `--config.source=omp` takes masks from one shot, `--config.source=ticket
--config.levels=1 --config.ticket=FOLDER` a saved one; `--config.group_aware=True` and
`--config.channel_criterion="('bn_scale',)"` add baselines.

Expect 97.9 % test accuracy dense, and after five rounds 94.7 % refilled (11 % of the weights) and 98.6 % regrouped (28
%), the means of three seeds.

Takes: two to three minutes on 2 cores of an AMD EPYC, 108 networks.
"""

from jaxticket.experiments import recipe_config


def get_config(argument=None):
    return recipe_config("structured", argument, seeds=(0, 1, 2))
