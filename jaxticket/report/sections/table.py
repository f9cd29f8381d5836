"""All numbers: by branch and level over the seeds, and every network separately."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from jaxticket.core.duration_text import duration_text
from jaxticket.lab.row import Column
from jaxticket.report import text
from jaxticket.report.groups import MARGIN, Group, dense_group, gap, group_rows, matches
from jaxticket.report.parts import Collapsible, Note, TableCell, TablePanel, code, spread_cell
from jaxticket.report.section import Section
from jaxticket.report.study import MEASURED, Study

_DOT = Markup('<span class="dot"{}></span>')
_NAMED_DOT = _DOT.format(Markup(' role="img" aria-label="as good as dense"'))
# Columns that are left out where no network has them: column of a row -> heading in the table of groups, of networks.
_GROUPS = {"test_accuracy_pruned": "right after pruning", "val_accuracy": "validation accuracy"}
_NETWORKS: dict[str, tuple[str, Callable[[float | None], str]]] = {
    "test_accuracy_balanced": ("balanced", text.accuracy_text),
    "test_accuracy_top5": ("top-5", text.accuracy_text),
    "test_accuracy_pruned": ("after pruning", text.accuracy_text),
    "test_loss": ("test loss", text.loss),
    "val_accuracy": ("validation", text.accuracy_text),
}


def table_section(study: Study) -> Section | None:
    """The table of groups, and of single networks behind a fold."""
    groups = group_rows(study.rows)
    if not groups:
        return None
    cases = list(dict.fromkeys(name for group in groups for name in group.case))
    has = {name for name in MEASURED for row in study.rows if getattr(row, name) is not None}
    compared = any(group.branch == "dense" for group in groups) and len(groups) > 1
    said = Markup("Mean ± sample standard deviation over the n seeds of a level.")
    if not any(group.n > 1 for group in groups):
        said = Markup("n = 1: one seed, so no spread is known.")
    said += Markup(" <em>Remaining</em> is of the prunable weights.")
    if "test_accuracy_pruned" in has:
        said += Markup(
            " <em>Right after pruning</em> is the test accuracy before the network is trained under its mask."
        )
    if compared:
        said += Markup(" {} marks levels whose mean test accuracy is at most {} below dense.").format(
            _DOT.format(""), MARGIN
        )
    shown = [name for name in _GROUPS if name in has]
    head = ["branch", *cases, "level", "remaining", "test accuracy", *(["vs. dense"] if compared else [])]
    head += [*(_GROUPS[name] for name in shown), "sparsity", "training loss", "time", "n", "cached"]
    lines, marked = [], []
    for i, group in enumerate(groups):
        dense = dense_group(groups, group.case)
        reference = dense if group is not dense else None
        good = bool(reference and matches(group, reference))
        marked += [i] if good else []
        differs = Markup("{}{}").format(
            _NAMED_DOT if good else "", text.difference(gap(group, reference) if reference else None)
        )
        lines.append(
            [
                group.branch,
                *_case(group.case, cases),
                f"{group.level}",
                text.remaining(group.remaining),
                spread_cell(group.spread("test_accuracy")),
                *([differs] if compared else []),
                *(spread_cell(group.spread(name)) for name in shown),
                text.sparsity_text(1 - group.remaining),
                text.loss(group.mean("train_loss")),
                duration_text(group.mean("seconds")),
                f"{group.n}",
                f"{group.cached}" if group.cached else None,
            ]
        )
    rows = [row for group in groups for row in group.rows]
    every = Collapsible(f"Every network ({len(rows)})", [_networks(study, groups, cases, has)])
    numbers = TablePanel("Results by branch and level", head, lines, marked=marked)
    return Section("numbers", "Numbers", (Note(said), numbers, every), {"rows": row_lines(study)})


def _networks(study: Study, groups: Sequence[Group], cases: Sequence[str], has: set[str]) -> TablePanel:
    shown = {name: of for name, of in _NETWORKS.items() if name in has}
    own = [one for one in study.columns if not one.case and any(one.name in row.extra for row in study.rows)]
    head = ("branch", *cases, "level", "seed", "remaining", "sparsity of all weights", "test")
    head += (*(title for title, _ in shown.values()), "training loss", *(one.title for one in own))
    head += ("epochs", "time", "stage", "ticket")
    rows = [
        [
            row.treatment,
            *_case(row.numbers, cases),
            f"{row.level}",
            f"{row.seed}",
            text.remaining(row.remaining),
            None if row.sparsity_total is None else text.sparsity_text(row.sparsity_total),
            text.accuracy_text(row.test_accuracy),
            *(in_words(getattr(row, name)) for name, (_, in_words) in shown.items()),
            text.loss(row.train_loss),
            *(_own(row.extra.get(one.name), one) for one in own),
            None if row.epochs is None else f"{row.epochs:g}",
            duration_text(row.seconds) + (" (cached)" if row.cached else ""),
            code(row.stage),
            code(row.ticket or ""),
        ]
        for group in groups
        for row in group.rows
    ]
    return TablePanel("Every network", head, rows, left=("branch", "stage", "ticket"))


def _own(value: Any, column: Column) -> TableCell:
    """A value of a column that only this experiment has, in the column's format."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None if value is None else str(value)
    return format(value, column.format)


def _case(of: Mapping[str, float], cases: Sequence[str]) -> list[TableCell]:
    return [f"{of[name]:g}" if name in of else None for name in cases]


def row_lines(study: Study) -> list[Sequence[Any]]:
    """Every row with its columns that are single values, for a CSV file."""
    rows = study.entries("rows")
    names = dict.fromkeys(name for row in rows for name, value in row.items() if not isinstance(value, list | dict))
    case = [column.name for column in study.columns if column.case and column.name in names]
    first = [name for name in ("branch", "level", *case, "seed") if name in names]
    names = [*first, *sorted(names.keys() - set(first))]
    return [names, *([row.get(name) for name in names] for row in rows)]
