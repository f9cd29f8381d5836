"""A saved ticket with the weights that its mask removed, where they are still to be had."""

import re
from pathlib import Path

import numpy as np

from jaxticket import storage
from jaxticket.core import masks, paths
from jaxticket.core.errors import TicketError
from jaxticket.experiments.lab import Lab
from jaxticket.experiments.stages import MaskRef, Stage, WeightsRef
from jaxticket.ticket import Ticket, load_ticket


def rewound_ticket(lab: Lab, folder: Path) -> tuple[WeightsRef, MaskRef]:
    """The weights a ticket is rewound to and its mask.

    A ticket holds its weights times its mask, and a structured mask also keeps weights that this one removed. They are
    found where the ticket was made in the lab's own work folder; elsewhere they start at zero, and a note says so.

    Raises:
        TicketError: the folder holds no whole ticket.
        MaskError: the ticket belongs to another network.
    """
    weights, mask = lab.ticket(folder)
    ticket = load_ticket(folder)
    rewound = _stored(lab.cache.folder, str(ticket.meta.get("start", "")))
    if rewound is not None and _agree(rewound, ticket):
        return rewound, mask
    lab.progress.note(
        f"{folder}: the weights that its mask removed are not in {lab.cache.folder}; where a structured mask keeps "
        "them they start at zero"
    )
    return weights, mask


def _stored(stages: Path, key: str) -> WeightsRef | None:
    """The weights of a stage that is complete, by their key."""
    found = re.fullmatch(r"(([a-z_]+)-([0-9a-f]{12}))/([\w.]+)", key)
    if not found:
        return None
    name, kind, stage_key, weights = found.groups()
    try:
        content = storage.read_manifest(stages / name)
    except TicketError:
        return None
    if content is None or not (stages / name / f"{weights}.safetensors").exists():
        return None
    return WeightsRef(Stage(kind, stage_key, stages / name, True, content), weights)


def _agree(rewound: WeightsRef, ticket: Ticket) -> bool:
    ours, theirs = paths.leaves(masks.apply_mask(rewound.load().params, ticket.mask)), paths.leaves(ticket.params)
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[path], theirs[path]) for path in theirs)
