"""The verdict of the sanity checks: what was found, on what grounds, what is missing and how sure it is."""

import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from jaxticket.experiments.sanity.report import wording
from jaxticket.experiments.sanity.report.decision import (
    KINDS,
    ControlDifference,
    Decision,
    TicketVerdict,
    holds,
    read_decision,
)
from jaxticket.report import Study, text
from jaxticket.report.groups import dense_group, group_rows
from jaxticket.report.parts import (
    Collapsible,
    Heading,
    Note,
    TableCell,
    TablePanel,
    Tile,
    Tiles,
    accuracy_tile,
    strong,
    wrapped,
)
from jaxticket.report.section import Part, Section
from jaxticket.report.sections.headline import networks_tile

_CONDITIONS = (1, 2, 3, 4, 5)
_BY_RATE = (3, 4, 5)
_SYMBOLS = {True: "\N{CHECK MARK}", False: "\N{MULTIPLICATION X}", None: "?"}
_WORDS = {True: "holds", False: "fails", None: "not known"}
_CLASSES = {True: "yes", False: "no", None: "unknown"}
_RULE = Markup(
    "The verdict by means is that of Ma et al. (2021): a jackpot meets all five conditions, a secondary prize all "
    "but the fifth. It is <em>settled</em> if every condition it claims has a margin whose interval excludes zero, "
    "after correction for the learning rates and, by Holm's procedure, for all {} cells (tickets by sparsities) that "
    "were tried; that there is no winning ticket is settled if in every cell a condition fails so."
)


def verdict_section(study: Study) -> Section | None:
    """The decision in words and tiles, the grid of rates and sparsities, and the differences seed by seed."""
    found = read_decision(study.summary)
    if found is None:
        return None
    best = found.best
    parts: list[Part] = [_tiles(study, found), Note(strong(wording.found_words(found)), claim=True)]
    lacking = wording.lacking(found)
    parts += [Note(lacking, claim=True)] if lacking else []
    parts.append(Note(_rule(found)))
    if best is not None:
        parts += [Heading(f"The conditions for {best.name}"), _conditions(found, best)]
    parts += _grids(found)
    parts += _differences(found)
    said = [f"verdict: {wording.found_words(found)}", *filter(None, [lacking])]
    files = {"verdict.json": json.dumps(study.summary["verdict"], indent=1, sort_keys=True) + "\n"}
    return Section("found", "", parts, _tables(found), files, said)


def _tiles(study: Study, found: Decision) -> Tiles:
    tiles = [Tile("Verdict", wording.title(found), wording.counts(found), lead=True, word=True)]
    if found.best is not None:
        what = "Decided by" if found.kind in ("jackpot", "secondary") else "Nearest"
        sparsity = "" if found.best.sparsity is None else f", {text.sparsity_text(found.best.sparsity)} sparsity"
        detail = f"level {found.best.level}{sparsity}, n = {found.best.seeds}"
        tiles.append(Tile(what, found.best.ticket, detail, word=True))
    groups = group_rows(study.rows)
    denses = [group for group in groups if group is dense_group(groups, group.case)]
    known = [(mean, i) for i, group in enumerate(denses) if (mean := group.mean("test_accuracy")) is not None]
    if known:
        dense = denses[max(known, key=lambda pair: pair[0])[1]]
        lr = f", lr {dense.case['lr']:g}" if "lr" in dense.case else ""
        tiles.append(accuracy_tile("Best dense test accuracy", dense.spread("test_accuracy"), lr))
    return Tiles([*tiles, networks_tile(study)])


def _rule(found: Decision) -> Markup:
    said, options = _RULE.format(len(found.cells)), found.options
    if options.get("tolerance") is not None and options.get("gap") is not None:
        said += Markup(
            " <em>About as good</em> is at most {} below, <em>clearly above</em> more than {} above."
        ).format(options["tolerance"], options["gap"])
    if options.get("single_lr"):
        said += " Conditions 3 to 5 must hold at one and the same learning rate."
    return said


def _conditions(found: Decision, best: TicketVerdict) -> TablePanel:
    deciding = {margin.condition: margin for margin in best.deciding}
    rows: list[list[TableCell]] = []
    for condition, words in found.words.items():
        held, of = best.conditions.get(condition), deciding.get(condition)
        rows.append(
            [
                f"{condition}",
                f"{_SYMBOLS[held]} {_WORDS[held]}",
                text.difference(best.margins.get(condition)),
                wrapped(words),
                text.interval(of.low, of.high) if of else None,
                text.p_value_text(of.p) if of else None,
            ]
        )
    head = ("no.", "holds", "margin", "condition", "margin seed by seed, interval", "p")
    return TablePanel(f"The conditions for {best.name}", head, rows, left=("holds", "condition"))


def _grids(found: Decision) -> list[Part]:
    """A table for each ticket: a line for each level, a column for each learning rate."""
    parts: list[Part] = []
    for ticket in dict.fromkeys(cell.ticket for cell in found.cells):
        cells = [cell for cell in found.cells if cell.ticket == ticket]
        lrs = sorted({lr for cell in cells for lr in cell.by_lr})
        rows = [
            [
                None if cell.sparsity is None else text.sparsity_text(cell.sparsity),
                _standing(cell),
                Markup().join(
                    _mark(found, number, cell.conditions.get(number), cell.margins.get(number)) for number in (1, 2)
                ),
                *(Markup().join(_mark_at(found, number, cell, lr) for number in _BY_RATE) for lr in lrs),
            ]
            for cell in cells
        ]
        head = (ticket, "verdict", "any lr", *(f"lr {lr:g}" for lr in lrs))
        label = f"Conditions of {ticket} by sparsity and learning rate"
        marked = [i for i, cell in enumerate(cells) if cell is found.best]
        parts.append(TablePanel(label, head, rows, left=head, marked=marked, kind="grid"))
    if not parts:
        return []
    by_rate = text.listing([str(number) for number in _BY_RATE])
    note = (
        f"Conditions 1 and 2 are of a sparsity, {by_rate} of a learning rate too: {_SYMBOLS[True]} holds there, "
        f"{_SYMBOLS[False]} fails, {_SYMBOLS[None]} is not known. The margin shows when the pointer rests on a mark."
    )
    return [Heading("Learning rate by sparsity"), Note(note), *parts]


def _standing(cell: TicketVerdict) -> str:
    """`secondary prize, not settled (p 0.03)`."""
    if cell.too_dense:
        return f"{KINDS[cell.kind]}, {wording.TOO_DENSE}"
    if cell.p_holm is None:
        return KINDS[cell.kind]
    return f"{KINDS[cell.kind]}, {'settled' if cell.settled else 'not settled'} (p {text.p_value_text(cell.p_holm)})"


def _mark_at(found: Decision, number: int, cell: TicketVerdict, lr: float) -> Markup:
    margin = cell.by_lr.get(lr, {}).get(number)
    return _mark(found, number, holds(number, margin), margin)


def _mark(found: Decision, number: int, held: bool | None, margin: float | None) -> Markup:
    said = f"Condition {number} {_WORDS[held]}"
    if margin is not None:
        said += f" (margin {text.difference(margin)})"
    said += f": {found.words.get(number, '')}"
    mark = Markup('<span class="mark {}" role="img" title="{}" aria-label="{}">{}</span>')
    return mark.format(_CLASSES[held], said, said, f"{number}{_SYMBOLS[held]}")


def _differences(found: Decision) -> list[Part]:
    """How sure it is: the differences of the best ticket from its controls, and of all others behind a fold."""
    if not any(cell.differences for cell in found.cells):
        return []
    said = (
        "A ticket and its control of one seed see the same data in the same order, so they are compared seed by seed. "
        "These intervals are not corrected for their number: of many, some miss the truth by chance."
    )
    if len(found.cells) > 1:
        said += f" Picked by these same test accuracies, the best of {len(found.cells)} tickets is flattered a little."
    parts: list[Part] = [Heading("How sure is it"), Note(said)]
    confidence = found.options.get("confidence")
    interval = f"{100 * confidence:g}% interval" if confidence else "interval"
    head = ("lr", "against", "difference", interval, "n", "threshold", "reading")
    left, best = ("against", "reading"), found.best
    if best is not None and best.differences:
        parts.append(Note(f"{best.name}, minus its control of the same seed and learning rate:"))
        rows = [_difference(one) for one in best.differences]
        parts.append(TablePanel(f"Differences of {best.name} from its controls", head, rows, left=left))
    rest = [(cell, one) for cell in found.cells if cell is not best for one in cell.differences]
    if rest:
        label = "Differences of all other tickets from their controls"
        rows = [[cell.ticket, f"{cell.level}", *_difference(one)] for cell, one in rest]
        table = TablePanel(label, ("ticket", "level", *head), rows, left=("ticket", *left))
        parts.append(Collapsible(f"Differences of all other tickets ({len(rest)})", [table]))
    return parts


def _difference(one: ControlDifference) -> list[TableCell]:
    return [
        None if one.lr is None else f"{one.lr:g}",
        wording.CONTROLS.get(one.against, one.against),
        text.difference(one.mean),
        text.interval(one.low, one.high),
        f"{one.n}",
        text.difference(one.threshold),
        wording.reading(one),
    ]


def _tables(found: Decision) -> dict[str, Sequence[Sequence[Any]]]:
    key, sure = ("ticket", "level", "sparsity"), ("p", "p_holm", "settled")
    fields = ("against", "lr", "mean", "low", "high", "n", "threshold", "reading")
    numbered = [f"{what}_{i}" for what in ("condition", "margin") for i in _CONDITIONS]
    verdicts: list[Sequence[Any]] = [(*key, "seeds", "verdict", *numbered, "missing", *sure)]
    by_lr: list[Sequence[Any]] = [(*key, "lr", *(f"margin_{i}" for i in _BY_RATE))]
    differences: list[Sequence[Any]] = [(*key, *fields)]
    for cell in found.cells:
        at = (cell.ticket, cell.level, cell.sparsity)
        numbers = [*map(cell.conditions.get, _CONDITIONS), *map(cell.margins.get, _CONDITIONS)]
        missing = "; ".join(cell.missing)
        verdicts.append((*at, cell.seeds, cell.kind, *numbers, missing, cell.p, cell.p_holm, cell.settled))
        by_lr += [(*at, lr, *map(margins.get, _BY_RATE)) for lr, margins in cell.by_lr.items()]
        differences += [(*at, *(getattr(one, name) for name in fields)) for one in cell.differences]
    return {"verdict": verdicts, "verdict_by_lr": by_lr, "differences": differences}
