"""The verdict of a study on its tickets, typed."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxticket.core.errors import JaxticketError
from jaxticket.report import text
from jaxticket.report.study import number

# From best to worst, with what a table calls them.
KINDS = {"jackpot": "jackpot", "secondary": "secondary prize", "none": "no winning ticket", "undecided": "undecided"}


@dataclasses.dataclass(frozen=True)
class Difference:
    """A ticket minus one of its controls, in test accuracy over seeds.

    Attributes:
        against: the control, such as `dense`.
        lr: learning rate of both.
        mean: over the seeds that both have.
        low: end of its interval; None for a single seed.
        high: likewise.
        n: number of seeds.
        threshold: what the verdict asks for.
        reading: `above` or `below` where the whole interval lies on one side of the threshold, else `undecided`.
    """

    against: str
    lr: float | None
    mean: float | None
    low: float | None
    high: float | None
    n: int
    threshold: float | None
    reading: str


@dataclasses.dataclass(frozen=True)
class Margin:
    """By how much a cell exceeds what a condition asks for, seed by seed, at the learning rate that decides it.

    Attributes:
        lr: of the ticket.
        mean: of the margins, in accuracy; the control is the one of the best rate.
        low: end of the interval of this margin taken alone; None for a single seed.
        high: likewise.
        n: number of seeds.
        p: two-sided, of a margin of zero; None for a single seed.
    """

    lr: float | None
    mean: float | None
    low: float | None
    high: float | None
    n: int
    p: float | None


@dataclasses.dataclass(frozen=True)
class Cell:
    """What was decided of one ticket at one sparsity.

    Attributes:
        ticket: its branch.
        level: its round of pruning.
        sparsity: removed share of the prunable weights; None where it was not trained.
        seeds: how many every mean is over, at least.
        kind: a key of `KINDS`.
        conditions: number -> whether it holds; None where that is not known.
        margins: number -> by how much; None where that is not known.
        by_lr: learning rate -> number -> margin at that rate.
        missing: what would have to be known.
        differences: from its controls, seed by seed.
        deciding: number of a condition -> the margin that decides it.
        p: of what the means say, corrected for the learning rates; None where that is not known.
        p_holm: the same, corrected for all cells of the study.
        settled: whether the intervals bear what the means say, after that correction.
    """

    ticket: str
    level: int
    sparsity: float | None
    seeds: int
    kind: str
    conditions: Mapping[int, bool | None]
    margins: Mapping[int, float | None]
    by_lr: Mapping[float, Mapping[int, float | None]]
    missing: tuple[str, ...]
    differences: tuple[Difference, ...]
    deciding: Mapping[int, Margin] = dataclasses.field(default_factory=dict)
    p: float | None = None
    p_holm: float | None = None
    settled: bool = False

    @property
    def too_dense(self) -> bool:
        """Whether condition 1 alone decides that there is no prize, whatever the accuracies."""
        return self.kind == "none" and self.conditions.get(1) is False

    @property
    def name(self) -> str:
        """`lt_imp at 91.4% sparsity (level 11)`."""
        if self.sparsity is None:
            return f"{self.ticket} at level {self.level}"
        return f"{self.ticket} at {text.sparsity(self.sparsity)} sparsity (level {self.level})"


@dataclasses.dataclass(frozen=True)
class Decision:
    """The verdict of a study.

    Attributes:
        kind: the best of its cells', a key of `KINDS`.
        words: number of a condition -> what it says.
        options: what counts as equal and as better.
        missing: what would have to be known for a decision.
        cells: one for each ticket and level.
        settled: whether the intervals bear the verdict after correction for the number of cells.
    """

    kind: str
    words: Mapping[int, str]
    options: Mapping[str, Any]
    missing: tuple[str, ...]
    cells: tuple[Cell, ...]
    settled: bool = False

    @property
    def best(self) -> Cell | None:
        """The cell that made the verdict: the sparsest prize, settled ones first, else what meets most conditions."""
        cells = [cell for cell in self.cells if cell.kind == self.kind]
        if self.kind in ("jackpot", "secondary"):
            return max(cells, key=lambda cell: (cell.settled, cell.sparsity or 0.0), default=None)
        return max(
            cells, key=lambda cell: (sum(map(bool, cell.conditions.values())), cell.sparsity or 0.0), default=None
        )


def read_decision(summary: Mapping[str, Any]) -> Decision | None:
    """The verdict of a summary, None where there is none.

    Raises:
        JaxticketError: its cells are not those of a verdict.
    """
    found = summary.get("verdict")
    if not isinstance(found, Mapping):
        return None
    try:
        return Decision(
            kind=_kind(found),
            words={int(key): str(words) for key, words in found.get("conditions", {}).items()},
            options=found.get("options", {}),
            missing=tuple(found.get("missing", ())),
            cells=tuple(_cell(cell) for cell in found.get("cells", ())),
            settled=bool(found.get("settled")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise JaxticketError(
            f"summary.json: verdict is not one ({error!r}); run the experiment's command again"
        ) from error


def holds(condition: int, margin: float | None) -> bool | None:
    """Whether a margin meets its condition: 2 and 3 ask for more than nothing."""
    return None if margin is None else margin > 0 if condition in (2, 3) else margin >= 0


def _kind(value: Mapping[str, Any]) -> str:
    kind = value.get("kind")
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; must be one of {', '.join(KINDS)}")
    return kind


def _cell(value: Mapping[str, Any]) -> Cell:
    return Cell(
        ticket=str(value["ticket"]),
        level=int(value["level"]),
        sparsity=number(value.get("sparsity")),
        seeds=int(value.get("seeds") or 0),
        kind=_kind(value),
        conditions={int(key): held for key, held in value.get("conditions", {}).items()},
        margins=_numbers(value.get("margins", {})),
        by_lr={float(entry["lr"]): _numbers(entry.get("margins", {})) for entry in value.get("by_lr", ())},
        missing=tuple(value.get("missing", ())),
        differences=tuple(_difference(entry) for entry in value.get("differences", ())),
        deciding={int(entry["condition"]): _margin(entry) for entry in value.get("deciding", ())},
        p=number(value.get("p")),
        p_holm=number(value.get("p_holm")),
        settled=bool(value.get("settled")),
    )


def _difference(value: Mapping[str, Any]) -> Difference:
    values = {name: number(value.get(name)) for name in ("lr", "mean", "low", "high", "threshold")}
    return Difference(
        against=str(value["against"]), n=int(value["n"]), reading=str(value.get("reading") or "undecided"), **values
    )


def _margin(value: Mapping[str, Any]) -> Margin:
    values = {name: number(value.get(name)) for name in ("lr", "mean", "low", "high", "p")}
    return Margin(n=int(value["n"]), **values)


def _numbers(values: Mapping[str, Any]) -> dict[int, float | None]:
    return {int(key): number(value) for key, value in values.items()}
