"""A saved ticket with the weights that its mask removed, where they are still to be had."""

from pathlib import Path

from jaxticket.core.errors import ConfigError
from jaxticket.experiments.given import WHAT, given_mask, given_weights, read_given, true_weights
from jaxticket.experiments.lab import Lab
from jaxticket.experiments.stages import MaskRef, WeightsRef
from jaxticket.ticket import DESCRIPTION, load_ticket


def rewound_ticket(lab: Lab, path: str) -> tuple[WeightsRef, MaskRef]:
    """The weights a ticket is rewound to and its mask.

    A structured mask keeps weights that the ticket's mask removed. A ticket has them if it was saved with them, and so
    has a PyTorch checkpoint. Else they are found where the ticket was made in the lab's own work folder; elsewhere they
    start at zero, and a note says so.

    Args:
        lab: whose network it must be.
        path: the folder of a ticket, or what else `read_given` takes, with weights and a mask.

    Raises:
        ConfigError: there is no mask, or there are no weights.
        TicketError: a file is damaged.
        MaskError: the ticket belongs to another network.
    """
    folder = Path(path)
    if (folder / DESCRIPTION).is_file():
        weights, mask = lab.ticket(folder)
        ticket = load_ticket(folder)
        if ticket.meta.get("removed"):
            return weights, mask
        rewound = true_weights(lab.cache.folder, ticket)
        if rewound is not None:
            return rewound, mask
        whole = False
    else:
        given = read_given(lab, path, key="ticket")
        if given.weights is None or not given.mask:
            lacks = "weights" if given.weights is None else "mask"
            raise ConfigError(f"config.ticket={path!r}: has no {lacks}; must be {WHAT}, with weights and a mask")
        weights, mask = given_weights(lab, given, label=folder.name), given_mask(lab, given, label=folder.name)
        whole = given.whole
    if not whole:
        lab.progress.note(
            f"{path}: the weights that its mask removed are not in {lab.cache.folder}; where a structured mask keeps "
            "them they start at zero"
        )
    return weights, mask
