"""Cyclic overlapping lottery tickets: masks on which networks for different classes agree, next to LTH on equal terms.

    jaxticket run --config=colt:model=conv3,dataset=digits

Arguments: `model` (`fc1`, `lenet5`, `alexnet`, `conv3`, `resnet18`, `densenet121`, `mobilenet_v2`, `shufflenet_v2` or
any other) and `dataset`. `--config.partitions=5` takes more parts, `--config.data.class_order=shuffled` deals the
classes out at random, `--config.rates="(('stem/.*', 0.0), ('conv', 0.15), ('head', 0.1))"` prunes other groups,
`--config.train.patience=5` stops each training early.

Expect 99 % of the weights gone in 16 rounds of COLT and 21 of LTH at 20 % a round, and at 90 % the 98.5 % test accuracy
of both, against 98.7 % dense, means of three seeds.

Takes: five to six minutes on one core of an AMD EPYC, 216 networks; `lth_matched` adds 48.
"""

from jaxticket.experiments import recipe_config


def get_config(argument=None):
    return recipe_config("colt", argument, seeds=(0, 1, 2))
