"""From the rows of a sanity-check study to its verdict."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from jaxticket import analysis
from jaxticket.experiments.sanity.options import TICKETS, SanityOptions, VerdictOptions
from jaxticket.experiments.sanity.settled import deciding, margins_of, p_of, settled

# learning rate -> seed -> test accuracy
_Accuracies = dict[float, dict[int, float]]


def decide(rows: Iterable[Mapping[str, Any]], options: SanityOptions) -> dict[str, Any]:
    """The verdict over every ticket and sparsity of a study, JSON-ready.

    Returns:
        `kind`, the best of what was decided by means (`undecided` where nothing was); `settled`, whether the intervals
        of what it rests on bear it after correction for the `cells_tried` (Holm); `missing`, what would have to be
        known; `conditions`, their words; the options; and `cells`, one for each ticket and level.
    """
    rows = list(rows)
    how = options.verdict
    cells = [
        _cell(rows, ticket, level, how) for ticket in TICKETS if ticket in options.settings for level in options.levels
    ]
    kinds = {cell["kind"] for cell in cells}
    missing = sorted({what for cell in cells for what in cell["missing"]})
    if not cells:
        missing = [f"a ticket; config.settings must have one of {', '.join(TICKETS)}"]
    kind = next((kind for kind in ("jackpot", "secondary", "undecided", "none") if kind in kinds), "undecided")
    return {
        "kind": kind,
        **settled(cells, kind, how.confidence),
        "missing": missing,
        "conditions": {str(number): words for number, words in analysis.CONDITIONS.items()},
        "options": dataclasses.asdict(how),
        "cells": cells,
    }


def _cell(rows: list[Mapping[str, Any]], ticket: str, level: int, how: VerdictOptions) -> dict[str, Any]:
    of_ticket = _accuracies(rows, ticket, level)
    others = {
        "dense": _accuracies(rows, "dense", 0),
        "rr": _accuracies(rows, f"rr_{ticket.partition('_')[2]}", level),
        "small_dense": _accuracies(rows, "sdt", level),
    }
    sparsity = [row["sparsity"] for row in rows if (row["branch"], row["level"]) == (ticket, level)]
    seeds = [len(values) for found in (of_ticket, *others.values()) for values in found.values()]
    found = analysis.verdict(
        lt=_means(of_ticket),
        **{name: _means(accuracies) for name, accuracies in others.items()},
        sparsity=math.fsum(sparsity) / len(sparsity) if sparsity else 0.0,
        tolerance=how.tolerance,
        gap=how.gap,
        min_sparsity=how.min_sparsity,
        single_lr=how.single_lr,
        seeds=min(seeds, default=0),
    )
    margins = margins_of(of_ticket, others, how)
    return {
        "ticket": ticket,
        "level": level,
        "sparsity": sparsity[0] if sparsity else None,
        "seeds": min(seeds, default=0),
        "kind": found.kind,
        "p": p_of(found.kind, margins, trivial=found.conditions[1] is False, single_lr=how.single_lr),
        "deciding": deciding(margins),
        "conditions": {str(number): held for number, held in found.conditions.items()},
        "margins": {str(number): margin for number, margin in found.margins.items()},
        "by_lr": [
            {"lr": lr, "margins": {str(number): margins.get(lr) for number, margins in found.by_rate.items()}}
            for lr in sorted(of_ticket)
        ],
        "missing": list(found.missing),
        "differences": _differences(of_ticket, others, how),
    }


def _differences(
    of_ticket: _Accuracies, others: Mapping[str, _Accuracies], how: VerdictOptions
) -> list[dict[str, Any]]:
    """Seed by seed, at each rate: how the ticket differs from its controls, and what that allows to say."""
    thresholds = {"dense": -how.tolerance, "rr": how.gap, "small_dense": how.gap}
    differences = []
    for name, accuracies in others.items():
        for lr in sorted(of_ticket.keys() & accuracies.keys()):
            if not of_ticket[lr].keys() & accuracies[lr].keys():
                continue
            found = analysis.paired_difference(of_ticket[lr], accuracies[lr], how.confidence)
            differences.append(
                {
                    "against": name,
                    "lr": lr,
                    **dataclasses.asdict(found),
                    "threshold": thresholds[name],
                    "reading": found.against(thresholds[name]),
                }
            )
    return differences


def _accuracies(rows: list[Mapping[str, Any]], branch: str, level: int) -> _Accuracies:
    found: _Accuracies = {}
    for row in rows:
        if (row["branch"], row["level"]) == (branch, level):
            found.setdefault(row["lr"], {})[row["seed"]] = row["test_accuracy"]
    return found


def _means(accuracies: _Accuracies) -> dict[float, float]:
    return {lr: math.fsum(values.values()) / len(values) for lr, values in accuracies.items()}
