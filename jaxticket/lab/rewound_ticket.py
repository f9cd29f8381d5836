"""A ticket that was saved, in this work folder or elsewhere, and the weights that its mask removed."""

import numpy as np

from jaxticket.core import paths
from jaxticket.core.errors import ConfigError
from jaxticket.core.masks import DEFAULT_RULES, full_mask
from jaxticket.core.types import Mask
from jaxticket.lab.given import (
    WHAT,
    Given,
    given_mask,
    given_ticket,
    given_weights,
    remarked_given,
    split_name,
    true_weights,
)
from jaxticket.lab.lab import Lab
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.ticket import DESCRIPTION, Ticket
from jaxticket.training.state import Weights


def saved_ticket(lab: Lab, path: str) -> tuple[WeightsRef | None, MaskRef]:
    """The weights and the mask that `config.ticket` names.

    `path` is the folder of a ticket, or what else `read_given` takes with a mask; of weights without one, the mask is
    where those that are prunable by default are not zero, as long as some are.

    Returns:
        The weights, None where there is a mask alone, and the mask.

    Raises:
        ConfigError: there is no mask.
        TicketError: a file is damaged.
        MaskError: the ticket belongs to another network.
    """
    return _saved(lab, path)[:2]


def _saved(lab: Lab, path: str) -> tuple[WeightsRef | None, MaskRef, Ticket | Given]:
    """As `saved_ticket`, and what they were read from."""
    folder, _ = split_name(path, key="ticket")
    if (folder / DESCRIPTION).is_file():
        return given_ticket(lab, folder, key="ticket")
    given = remarked_given(lab, path, key="ticket")
    mask = given.mask
    if given.weights is not None and not mask:
        mask = _not_zero(given.weights)
    if not mask:
        raise ConfigError(f"config.ticket={path!r}: has no mask, and none of its weights is 0; must be {WHAT}")
    weights = None if given.weights is None else given_weights(lab, given.weights, label=folder.name)
    return weights, given_mask(lab, mask, label=folder.name), given


def rewound_ticket(lab: Lab, path: str) -> tuple[WeightsRef, MaskRef]:
    """The weights a ticket is rewound to and its mask, for masks that keep weights which the ticket's removed.

    A ticket has those if it was saved with them, and so has a PyTorch checkpoint. Else they are found where the ticket
    was made in the lab's own work folder; elsewhere they start at zero, and a note says so.

    Raises:
        ConfigError: there is no mask, or there are no weights.
        TicketError: a file is damaged.
        MaskError: the ticket belongs to another network.
    """
    weights, mask, found = _saved(lab, path)
    if weights is None:
        raise ConfigError(f"config.ticket={path!r}: has a mask and no weights; must be {WHAT}")
    if isinstance(found, Ticket):
        rewound = weights if found.meta.get("removed") else true_weights(lab.stages.folder, found)
    else:
        rewound = weights if found.mask and found.whole else None
    if rewound is not None:
        return rewound, mask
    lab.recorder.remark(
        f"{path}: the weights that its mask removed are not in {lab.stages.folder}; where a structured mask keeps them "
        "they start at zero"
    )
    return weights, mask


def _not_zero(weights: Weights) -> Mask:
    """The mask that a network shows which is sparse already; empty where it is not."""
    leaves = paths.leaves(weights.params)
    mask = {path: leaves[path] != 0 for path in full_mask(weights.params, DEFAULT_RULES)}
    return {} if all(np.all(kept) for kept in mask.values()) else mask
