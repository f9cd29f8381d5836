"""The verdict of a study: what was found, on what grounds, what is missing and how sure it is."""

from jaxticket.report import text, wording
from jaxticket.report.decision import KINDS, Cell, Decision, holds, read_decision
from jaxticket.report.groups import dense_group, group_rows
from jaxticket.report.sections.section import Section, render
from jaxticket.report.study import Study

_BY_RATE = (3, 4, 5)
_SYMBOLS = {True: "\N{CHECK MARK}", False: "\N{MULTIPLICATION X}", None: "?"}
_WORDS = {True: "holds", False: "fails", None: "not known"}


def verdict(study: Study) -> Section | None:
    """The decision in words and tiles, the grid of rates and sparsities, and the differences seed by seed."""
    found = read_decision(study.summary)
    if found is None:
        return None
    best = found.best
    rest = [(cell, difference) for cell in found.cells if cell is not best for difference in cell.differences]
    html = render(
        "verdict.html.jinja",
        decision=found,
        words=wording,
        kinds=KINDS,
        best=best,
        conditions=[_condition(number, found, best) for number in found.words] if best else [],
        grids=_grids(found),
        dense=_best_dense(study),
        rest=rest,
        everything=[difference for cell in found.cells for difference in cell.differences],
        confidence=found.options.get("confidence"),
        networks=len(study.rows),
        seeds=len({row.seed for row in study.rows}),
        seconds=sum(row.seconds or 0.0 for row in study.rows),
        symbols=_SYMBOLS,
        by_rate=text.listing([str(number) for number in _BY_RATE]),
    )
    return Section("found", "", html)


def _condition(number: int, found: Decision, cell: Cell) -> dict[str, object]:
    held = cell.conditions.get(number)
    return {
        "number": number,
        "words": found.words[number],
        "symbol": _SYMBOLS[held],
        "held": _WORDS[held],
        "margin": cell.margins.get(number),
    }


def _grids(found: Decision) -> list[dict[str, object]]:
    """A table for each ticket: a line for each level, a column for each learning rate."""
    grids = []
    for ticket in dict.fromkeys(cell.ticket for cell in found.cells):
        cells = [cell for cell in found.cells if cell.ticket == ticket]
        lrs = sorted({lr for cell in cells for lr in cell.by_lr})
        lines = [
            {
                "cell": cell,
                "all": [
                    _mark(number, found, cell.conditions.get(number), cell.margins.get(number)) for number in (1, 2)
                ],
                "rates": [[_mark_at(number, found, cell, lr) for number in _BY_RATE] for lr in lrs],
            }
            for cell in cells
        ]
        grids.append({"ticket": ticket, "lrs": lrs, "lines": lines})
    return grids


def _mark_at(number: int, found: Decision, cell: Cell, lr: float) -> dict[str, str]:
    margin = cell.by_lr.get(lr, {}).get(number)
    return _mark(number, found, holds(number, margin), margin)


def _mark(number: int, found: Decision, held: bool | None, margin: float | None) -> dict[str, str]:
    said = f"Condition {number} {_WORDS[held]}"
    if margin is not None:
        said += f" (margin {text.difference(margin)})"
    return {
        "text": f"{number}{_SYMBOLS[held]}",
        "kind": {True: "yes", False: "no", None: "unknown"}[held],
        "title": f"{said}: {found.words.get(number, '')}",
    }


def _best_dense(study: Study) -> dict[str, object] | None:
    """The dense networks at the learning rate where they are best."""
    groups = group_rows(study.rows)
    denses = [group for group in groups if group is dense_group(groups, group.case)]
    known = [(mean, group) for group in denses if (mean := group.spread("test_accuracy").mean) is not None]
    if not known:
        return None
    group = max(known, key=lambda pair: pair[0])[1]
    return {"spread": group.spread("test_accuracy"), "lr": group.case.get("lr")}
