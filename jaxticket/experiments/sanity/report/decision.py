"""The verdict of a study on its tickets, typed."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from jaxticket.lab.row import number
from jaxticket.report import text
from jaxticket.report.records import read_record, record_field

# From best to worst, with their names in tables.
KINDS = {"jackpot": "jackpot", "secondary": "secondary prize", "none": "no winning ticket", "undecided": "undecided"}


def _by_lr(value: Iterable[Mapping[str, Any]]) -> dict[float, dict[int, float | None]]:
    return {
        float(entry["lr"]): {int(condition): number(margin) for condition, margin in entry.get("margins", {}).items()}
        for entry in value
    }


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; must be one of {', '.join(KINDS)}")


@dataclasses.dataclass(frozen=True)
class ControlDifference:
    """A ticket minus one of its controls, in test accuracy over n seeds; no interval for a single one.

    `reading` is `above` or `below` where the whole interval lies on one side of the `threshold` of the verdict.
    """

    against: str
    lr: float | None
    mean: float | None
    low: float | None
    high: float | None
    n: int
    threshold: float | None
    reading: str = "undecided"


@dataclasses.dataclass(frozen=True)
class DecidingMargin:
    """By how much a cell exceeds what a condition asks for, seed by seed, at the learning rate that decides it.

    The interval is of this margin taken alone, `p` two-sided of a margin of zero; None for a single seed.
    """

    condition: int
    lr: float | None
    mean: float | None
    low: float | None
    high: float | None
    n: int
    p: float | None


@dataclasses.dataclass(frozen=True)
class TicketVerdict:
    """What was decided of one ticket (its branch) at one sparsity; None is what is not known.

    Attributes:
        seeds: how many every mean is over, at least.
        conditions: number -> whether it holds.
        margins: number -> by how much.
        by_lr: learning rate -> number -> margin at that rate.
        missing: what would have to be known.
        p: of what the means say, corrected for the learning rates; `p_holm` for all cells of the study too.
        settled: whether the intervals bear what the means say, after that correction.
    """

    ticket: str
    level: int
    sparsity: float | None
    kind: str
    seeds: int = 0
    conditions: Mapping[int, bool | None] = dataclasses.field(default_factory=dict)
    margins: Mapping[int, float | None] = dataclasses.field(default_factory=dict)
    by_lr: Mapping[float, Mapping[int, float | None]] = record_field(read=_by_lr, default_factory=dict)
    missing: tuple[str, ...] = ()
    differences: tuple[ControlDifference, ...] = ()
    deciding: tuple[DecidingMargin, ...] = ()
    p: float | None = None
    p_holm: float | None = None
    settled: bool = False

    def __post_init__(self) -> None:
        """Refuses a kind that there is not."""
        _check_kind(self.kind)

    @property
    def too_dense(self) -> bool:
        """Whether condition 1 alone decides that there is no prize, whatever the accuracies."""
        return self.kind == "none" and self.conditions.get(1) is False

    @property
    def name(self) -> str:
        """`lt_imp at 91.4% sparsity (level 11)`."""
        if self.sparsity is None:
            return f"{self.ticket} at level {self.level}"
        return f"{self.ticket} at {text.sparsity_text(self.sparsity)} sparsity (level {self.level})"


@dataclasses.dataclass(frozen=True)
class Decision:
    """The verdict of a study: the best of its cells', and what each condition says.

    `options` say what counts as equal and as better; `missing` is what would have to be known for a decision.
    """

    kind: str
    words: Mapping[int, str] = record_field("conditions", default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    missing: tuple[str, ...] = ()
    cells: tuple[TicketVerdict, ...] = ()
    settled: bool = False

    def __post_init__(self) -> None:
        """Refuses a kind that there is not."""
        _check_kind(self.kind)

    @property
    def best(self) -> TicketVerdict | None:
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
    return read_record(Decision, found, "summary.json: verdict") if isinstance(found, Mapping) else None


def holds(condition: int, margin: float | None) -> bool | None:
    """Whether a margin meets its condition: 2 and 3 ask for more than nothing."""
    return None if margin is None else margin > 0 if condition in (2, 3) else margin >= 0
