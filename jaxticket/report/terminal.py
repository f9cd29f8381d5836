"""The rows of an experiment as a table in the terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxticket.report import text
from jaxticket.report.compared import comparisons, summed_up
from jaxticket.report.decision import read_decision
from jaxticket.report.groups import Group, Spread, dense_group, group_rows, matches
from jaxticket.report.structures import controls_in_words
from jaxticket.report.study import Study, rows_of
from jaxticket.report.wording import certainty, found, lacking

if TYPE_CHECKING:
    from rich.console import Console

_GAP = 2


class Column(NamedTuple):
    """A column of text: heading, one cell per line, and how dispensable it is where there is no room."""

    name: str
    cells: list[str]
    dispensable: int = 0

    @property
    def width(self) -> int:
        """Of its widest cell."""
        return max(map(len, (self.name, *self.cells)))


def print_table(summary: Mapping[str, Any], console: "Console | None" = None) -> None:
    """Prints the networks of an experiment, one line per branch, case and level, mean ± standard deviation over seeds.

    On a terminal the lines as good as the dense network stand out in colour; elsewhere the table is plain text. Columns
    that do not fit the width are left out, the least important first. A verdict follows in a line or two, and how many
    differences from controls are settled.

    Args:
        summary: the content of `summary.json`.
        console: where to print; None for standard output.

    Raises:
        JaxticketError: a row without branch, level, seed or sparsity; a verdict that is not one.
    """
    from rich.console import Console
    from rich.text import Text

    console = console or Console()
    groups = group_rows(rows_of(summary))

    def say(line: str, style: str = "") -> None:
        console.print(Text(line, style=style if console.is_terminal else ""), soft_wrap=True)

    say(_title(summary), "bold")
    if not groups:
        say("no networks yet")
        return
    unicode = console.encoding.lower().replace("-", "").startswith("utf")
    columns = fit(make_columns(groups, "±" if unicode else "+/-"), console.width)
    say(_line(columns, [column.name for column in columns]), "bold")
    say("-" * (sum(column.width for column in columns) + _GAP * (len(columns) - 1)), "dim")
    for i, group in enumerate(groups):
        dense = dense_group(groups, group.case)
        good = dense is not None and (group is dense or matches(group, dense))
        say(_line(columns, [column.cells[i] for column in columns]), "green" if good else "")
    notes = _notes(groups, columns)
    study = Study(summary, rows_of(summary))
    notes += [f"{branch}: a control, {said}" for branch, said in controls_in_words(study).items()]
    for note in notes:
        say(note, "dim")
    for line in _verdict(summary):
        say(line, "bold")
    compared = comparisons(study)
    if compared:
        say(f"comparisons: {summed_up(compared)}")


def make_columns(groups: Sequence[Group], plus_minus: str = "±") -> list[Column]:
    """The table's columns, a cell per group; without validation accuracies there is no column of them."""
    names = dict.fromkeys(name for group in groups for name in group.case)
    columns = [
        Column("branch", [group.branch for group in groups]),
        *(Column(name, [f"{group.case[name]:g}" if name in group.case else "" for group in groups]) for name in names),
        Column("level", [str(group.level) for group in groups]),
        Column("sparsity", [text.sparsity(1 - group.remaining) for group in groups], 2),
        Column("left", [text.remaining(group.remaining) for group in groups]),
        Column("test", [_cell(group.spread("test_accuracy"), plus_minus) for group in groups]),
    ]
    if any(row.val_accuracy is not None for group in groups for row in group.rows):
        columns.append(Column("val", [_cell(group.spread("val_accuracy"), plus_minus) for group in groups], 3))
    if any(row.test_accuracy_pruned is not None for group in groups for row in group.rows):
        cells = [_cell(group.spread("test_accuracy_pruned"), plus_minus) for group in groups]
        columns.append(Column("pruned", cells, 4))
    columns += [
        Column("n", [str(group.n) for group in groups], 1),
        Column("cached", [str(group.cached or "") for group in groups], 5),
    ]
    return [column._replace(cells=[cell.replace(text.NOTHING, "-") for cell in column.cells]) for column in columns]


def fit(columns: list[Column], width: int) -> list[Column]:
    """The columns that fit `width` characters, the most dispensable gone first; the others stay at any width."""
    columns = list(columns)
    while sum(column.width for column in columns) + _GAP * (len(columns) - 1) > width:
        least = max(columns, key=lambda column: column.dispensable)
        if not least.dispensable:
            break
        columns.remove(least)
    return columns


def _cell(spread: Spread, plus_minus: str) -> str:
    return text.spread(spread, plus_minus) + ("*" if spread.missing and spread.n else "")


def _line(columns: list[Column], cells: list[str]) -> str:
    """Names to the left, numbers to the right."""
    padded = [
        cell.ljust(column.width) if column.name == "branch" else cell.rjust(column.width)
        for column, cell in zip(columns, cells, strict=True)
    ]
    return (" " * _GAP).join(padded).rstrip()


def _title(summary: Mapping[str, Any]) -> str:
    parts = [summary.get(part) if isinstance(summary.get(part), Mapping) else {} for part in ("model", "dataset")]
    model, dataset = (part.get("name") if part else None for part in parts)
    name = str(summary.get("name") or summary.get("experiment") or "experiment")
    title = f"{name}: {model} on {dataset}" if model and dataset else name
    return title if summary.get("complete", True) else f"{title} (not finished)"


def _verdict(summary: Mapping[str, Any]) -> list[str]:
    """What was decided, and what is missing or how little the seeds allow to say."""
    decision = read_decision(summary)
    if decision is None:
        return []
    differences = [difference for cell in decision.cells for difference in cell.differences]
    return [
        f"verdict: {found(decision)}",
        lacking(decision) or certainty(differences)[0],
    ]


def _notes(groups: Sequence[Group], columns: list[Column]) -> list[str]:
    notes = []
    if any(group.n > 1 for group in groups):
        notes.append("test, val: mean and standard deviation over n seeds; left: prunable weights")
    else:
        notes.append("n = 1: one seed, no spread is known; left: prunable weights")
    if any(column.name == "pruned" for column in columns):
        notes.append("pruned: test accuracy right after pruning, before training")
    if any(cell.endswith("*") for column in columns for cell in column.cells):
        notes.append("* over fewer than n: the others have no finite value")
    return notes
