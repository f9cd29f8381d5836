"""Whether a verdict is more than its means: intervals of the margins it rests on, corrected for the cells tried."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxticket import analysis
from jaxticket.experiments.sanity.options import VerdictOptions

# learning rate -> seed -> test accuracy
Accuracies = Mapping[float, Mapping[int, float]]

# What the ticket is compared with in each condition; the fourth compares at the ticket's own learning rate.
_CONTROLS = {2: "small_dense", 3: "rr", 4: "dense", 5: "dense"}
# The conditions a verdict says hold; of the first four one fails where there is no winning ticket.
_CLAIMED = {"jackpot": (2, 3, 4, 5), "secondary": (2, 3, 4)}


@dataclasses.dataclass(frozen=True)
class SeedMargin:
    """By how much a ticket exceeds what a condition asks for at one learning rate, seed by seed.

    Attributes:
        condition: its number.
        lr: the ticket's learning rate.
        controls: among how many learning rates the control was chosen, the best by its mean.
        difference: the margin over seeds, with its interval.
        p: two-sided, of a margin of zero; None for a single seed.
    """

    condition: int
    lr: float
    controls: int
    difference: analysis.Difference
    p: float | None

    def against(self, side: int) -> float:
        """The p-value of lying above zero (`side` 1) or below (-1); 1 where the mean is on the other side."""
        return 1.0 if self.p is None or self.difference.mean * side <= 0 else self.p


def margins_of(ticket: Accuracies, others: Mapping[str, Accuracies], how: VerdictOptions) -> list[SeedMargin]:
    """The margins of conditions 2 to 5 at every learning rate, from differences between networks of one seed.

    Args:
        ticket: its accuracies.
        others: those of `dense`, `rr` and `small_dense`, empty where they were not trained.
        how: what counts as equal and as clearly better.
    """
    found = []
    for condition, name in _CONTROLS.items():
        asked = how.gap if condition in (2, 3) else -how.tolerance
        controls = others[name]
        for lr, own in sorted(ticket.items()):
            among = [lr] if condition == 4 else list(controls)
            known = [at for at in among if at in controls and own.keys() & controls[at].keys()]
            if known:
                best = max(known, key=lambda at: math.fsum(controls[at].values()) / len(controls[at]))
                shifted = {seed: value + asked for seed, value in controls[best].items()}
                difference = analysis.paired_difference(own, shifted, how.confidence)
                found.append(SeedMargin(condition, lr, len(known), difference, analysis.p_value(difference)))
    return found


def p_of(kind: str, margins: Sequence[SeedMargin], *, trivial: bool, single_lr: bool) -> float | None:
    """The p-value of what a cell's means say, corrected for the learning rates among which was chosen.

    A prize claims all its conditions, each at one of the ticket's rates at least: its p-value is the largest of theirs,
    and that of a condition the smallest over the rates times their number. No prize claims that one condition fails at
    every rate of the ticket: its p-value is the smallest of the conditions' times their number, and that of a condition
    the largest over the ticket's rates, times the number of rates that the control was chosen from.

    `kind` is that of the verdict by means, and `margins` are made by `margins_of`. With `trivial` condition 1 fails,
    which needs no statistics; with `single_lr` conditions 3 to 5 must hold at one rate.

    Returns:
        A number in [0, 1]; None where nothing was decided.
    """
    if kind == "none" and trivial:
        return 0.0
    by_condition = {
        condition: {margin.lr: margin for margin in margins if margin.condition == condition} for condition in _CONTROLS
    }
    if kind == "none":
        failing = [
            max(margin.against(-1) * margin.controls for margin in by_condition[condition].values())
            for condition in (2, 3, 4)
            if by_condition[condition]
        ]
        return min(1.0, min(failing) * len(failing)) if failing else None
    if kind not in _CLAIMED:
        return None
    together = [condition for condition in _CLAIMED[kind] if condition > 2] if single_lr else []
    groups = [[condition] for condition in _CLAIMED[kind] if condition not in together]
    groups += [together] if together else []
    values = []
    for group in groups:
        rates = set.intersection(*(set(by_condition[condition]) for condition in group))
        worst = [max(by_condition[condition][lr].against(1) for condition in group) for lr in rates]
        values.append(min(worst, default=1.0) * len(worst))
    return min(1.0, max(values))


def deciding(margins: Sequence[SeedMargin]) -> list[dict[str, Any]]:
    """Of every condition the margin at the rate where its mean is largest, by which it holds or fails; JSON-ready."""
    found = []
    for condition in _CONTROLS:
        own = [margin for margin in margins if margin.condition == condition]
        if own:
            best = max(own, key=lambda margin: margin.difference.mean)
            numbers = dataclasses.asdict(best.difference)
            found.append({"condition": condition, "lr": best.lr, **numbers, "p": best.p})
    return found


def settled(cells: Sequence[dict[str, Any]], kind: str, confidence: float) -> dict[str, Any]:
    """Corrects the p-values of cells for their number (Holm) and says what is settled; writes it into the cells.

    Args:
        cells: each with `kind` and `p`; they get `p_holm` and `settled`.
        kind: of the whole study by means.
        confidence: of all decisions together.

    Returns:
        `settled`, of the study: a prize if one cell with it is settled; none if that is so of every cell, each by
        itself, as all must hold; and `cells_tried`.
    """
    alpha = 1 - confidence
    for cell, p_holm in zip(cells, analysis.holm([cell["p"] for cell in cells]), strict=True):
        cell["p_holm"] = p_holm
        cell["settled"] = p_holm is not None and p_holm <= alpha
    if kind == "none":
        sure = all(cell["p"] is not None and cell["p"] <= alpha for cell in cells)
    else:
        sure = any(cell["settled"] for cell in cells if cell["kind"] == kind)
    return {"settled": sure, "cells_tried": len(cells)}
