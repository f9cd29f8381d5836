"""The rows of an experiment as a table in the terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxticket.report import text
from jaxticket.report.comparisons import comparisons, summed_up
from jaxticket.report.controls import controls_in_words
from jaxticket.report.groups import Group, Spread, dense_group, group_rows, matches
from jaxticket.report.section import own_sections
from jaxticket.report.study import Study

if TYPE_CHECKING:
    from rich.console import Console

_GAP = 2


class TextColumn(NamedTuple):
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
    that do not fit the width are left out, the least important first. What the experiment's own sections say in a line
    follows, and how many differences from controls are settled.

    Args:
        summary: the content of `summary.json`.
        console: where to print; None for standard output.

    Raises:
        JaxticketError: a row without branch, level, seed or sparsity; an entry that is not what it should be.
    """
    from rich.console import Console
    from rich.text import Text

    console = console or Console()
    study = Study.of(summary, intact=True)
    groups = group_rows(study.rows)

    def say(line: str, style: str = "") -> None:
        console.print(Text(line, style=style if console.is_terminal else ""), soft_wrap=True)

    title = f"{study.name}: {study.setting}" if study.part("model") and study.part("dataset") else study.name
    say(title if study.complete else f"{title} (not finished)", "bold")
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
    notes += [f"{branch}: a control, {said}" for branch, said in controls_in_words(study).items()]
    for note in notes:
        say(note, "dim")
    for section in own_sections(study):  # what raises is said where the page is written
        for line in section.said:
            say(line, "bold")
    compared = comparisons(study)
    if compared:
        say(f"comparisons: {summed_up(compared)}")


def make_columns(groups: Sequence[Group], plus_minus: str = "±") -> list[TextColumn]:
    """The table's columns, a cell per group; without validation accuracies there is no column of them."""
    names = dict.fromkeys(name for group in groups for name in group.case)

    def accuracies(name: str) -> list[str]:
        return [_cell(group.spread(name), plus_minus) for group in groups]

    columns = [
        TextColumn("branch", [group.branch for group in groups]),
        *(TextColumn(of, [f"{group.case[of]:g}" if of in group.case else "" for group in groups]) for of in names),
        TextColumn("level", [str(group.level) for group in groups]),
        TextColumn("sparsity", [text.sparsity_text(1 - group.remaining) for group in groups], 2),
        TextColumn("left", [text.remaining(group.remaining) for group in groups]),
        TextColumn("test", accuracies("test_accuracy")),
    ]
    for name, column, dispensable in (("val", "val_accuracy", 3), ("pruned", "test_accuracy_pruned", 4)):
        if any(getattr(row, column) is not None for group in groups for row in group.rows):
            columns.append(TextColumn(name, accuracies(column), dispensable))
    columns += [
        TextColumn("n", [str(group.n) for group in groups], 1),
        TextColumn("cached", [str(group.cached or "") for group in groups], 5),
    ]
    return [column._replace(cells=[cell.replace(text.NOTHING, "-") for cell in column.cells]) for column in columns]


def fit(columns: list[TextColumn], width: int) -> list[TextColumn]:
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


def _line(columns: list[TextColumn], cells: list[str]) -> str:
    """Names to the left, numbers to the right."""
    padded = [
        cell.ljust(column.width) if column.name == "branch" else cell.rjust(column.width)
        for column, cell in zip(columns, cells, strict=True)
    ]
    return (" " * _GAP).join(padded).rstrip()


def _notes(groups: Sequence[Group], columns: list[TextColumn]) -> list[str]:
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
