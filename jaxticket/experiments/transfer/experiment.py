"""Tickets of one data set on another (arXiv 2212.12770)."""

from typing import Any

from jaxticket import storage
from jaxticket.analysis import Pair
from jaxticket.core import paths
from jaxticket.experiments.transfer.options import TransferOptions
from jaxticket.experiments.transfer.sources import TicketSource, find_sources, taken_with
from jaxticket.lab.derived import Derived
from jaxticket.lab.lab import Lab
from jaxticket.lab.mask_intersection import whole_head
from jaxticket.lab.random_masks import random_twin
from jaxticket.lab.rate_groups import is_head
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.ticket import ARRAYS, load_ticket
from jaxticket.training.state import Weights


def transfer(lab: Lab, options: TransferOptions) -> None:
    """Trains every ticket on the data of `lab`: its initial weights under its mask, all with one new classifier."""
    sources = find_sources(lab, options)

    def one_seed(seed: int) -> None:
        if options.dense:
            init, full = lab.init(seed), lab.full_mask()
            lab.train_row("dense", 0, seed, init, full)
        head = lab.init(seed, stream="head")
        for source in taken_with(sources, seed):
            start, mask = transferred(lab, source, head)
            label = f"{source.name}-{source.level}-{seed} on {lab.setting.spec.name}"
            how: dict[str, Any] = {"case": {"source": source.name}, "ticket": False}
            lab.train_row("transfer", source.level, seed, start, mask, label=label, pruned=start, **how)
            if options.random_masks:
                twin = random_twin(lab, mask, seed)
                label = f"random like {label}"
                lab.train_row("random", source.level, seed, head, twin, label=label, pruned=head, **how)

    lab.for_each_seed(one_seed)
    for source in sources:
        lab.recorder.note("transfer", reused(lab, source))
    names = list(dict.fromkeys(source.name for source in sources))
    lab.recorder.compare(
        *(Pair(f"transfer {name}", f"random {name}") for name in names),
        *(Pair(f"transfer {name}", "dense", control_level=0) for name in names),
    )


def transferred(lab: Lab, source: TicketSource, head: WeightsRef) -> tuple[WeightsRef, MaskRef]:
    """A ticket's weights and mask with another classifier, and running statistics as at initialisation.

    Of `head`, initial weights of the network, the classifier is taken, whole, unless the ticket keeps its own.
    """

    def compute(head: Weights) -> Derived:
        ticket = load_ticket(source.folder)
        body, new = paths.leaves(ticket.params), paths.leaves(head.params)
        params = {path: new[path] if _is_replaced(path, source) else body[path] for path in new}
        kept = ticket.mask if source.keeps_head else whole_head(ticket.mask, lab.setting.shapes.params)
        return Derived(Weights(paths.nest(params), head.model_state), kept)

    config = {"ticket": storage.checksum(source.folder / ARRAYS), "keeps_head": source.keeps_head}
    stage = lab.derive("transfer", compute, {"head": head}, config=config, label=source.folder.name)
    return WeightsRef(stage, "weights"), MaskRef(stage)


def reused(lab: Lab, source: TicketSource) -> dict[str, Any]:
    """Which leaves a transfer takes from the ticket, and which are new, JSON-ready."""
    leaves = list(paths.leaves(lab.setting.shapes.params))
    return {
        "source": source.name,
        "level": source.level,
        "seed": source.seed,
        "ticket": str(source.folder),
        "reused": [path for path in leaves if not _is_replaced(path, source)],
        "new": [path for path in leaves if _is_replaced(path, source)],
    }


def _is_replaced(path: str, source: TicketSource) -> bool:
    return is_head(path) and not source.keeps_head
