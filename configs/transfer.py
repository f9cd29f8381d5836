"""Tickets on another data set: the same initial weights and masks, with one new classifier for all of them.

    jaxticket run --config=transfer:dataset=fashion_mnist,source=runs/colt-1a2b3c4d

Arguments: `dataset`, where the tickets go; `source`, the folder of an experiment, whose tickets are all taken, or of
one ticket, which also says what the network is; without a source `model` is the network, and `--config.sources` names
as many as there are. `--config.branches="('colt',)"` takes some of the tickets, `--config.data.part=1/2` trains on the
first half of the classes. Beside every ticket a random mask of its layer densities is trained, the control that tells
whether more than these carries over; `--config.random_masks=False` leaves them out.

The 16 COLT tickets of one seed of `--config=colt`, on the first half of the digits (`--config.data.part=1/2`), come
to 99.0 to 99.5 % test accuracy down to a tenth of the weights, and 99.5 % dense.

Takes: about a minute on 2 cores of an AMD EPYC for 16 tickets of one seed, and as long again for their random masks.
"""

from jaxticket.experiments import recipe_config


def get_config(argument=None):
    return recipe_config("transfer", argument)
