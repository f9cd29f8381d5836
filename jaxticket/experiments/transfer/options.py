"""Options of the transfer of tickets to another data set."""

import dataclasses

from jaxticket.core.options import option
from jaxticket.lab.options import ExperimentOptions


@dataclasses.dataclass(frozen=True)
class TransferOptions(ExperimentOptions):
    """Tickets found on one data set, trained on another: `config.data`, whose `part` may be some of the classes.

    Attributes:
        sources: folders of tickets, or of experiments, all of whose tickets are taken. A ticket of an experiment is
            trained with the seed it was found with, others with every seed.
        branches: the branches to take from experiments, such as `("colt", "lth")`; empty for all.
        dense: whether to train the dense network on the data too.
        random_masks: whether to train, for every ticket, a mask with as many weights in every layer, at random
            positions, from new initial weights, because a ticket does not hold those it removed: branch `random`. It
            tells whether more than the densities of the layers carries over.
    """

    sources: tuple[str, ...] = option((), unique=True)
    branches: tuple[str, ...] = option((), unique=True)
    dense: bool = option(True)
    random_masks: bool = option(False)
