"""Rows brought together: the networks of one branch and level, over their seeds."""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence

from jaxticket.report.study import Row

# A level matches the dense network when its mean test accuracy is at most this much below the dense mean.
MARGIN = 0.005


@dataclasses.dataclass(frozen=True)
class Spread:
    """A quantity over seeds.

    Attributes:
        values: those that are known and finite.
        missing: how many are not.
    """

    values: tuple[float, ...]
    missing: int = 0

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Spread":
        """From values of which some may be None."""
        values = tuple(values)
        known = tuple(value for value in values if value is not None)
        return cls(known, len(values) - len(known))

    @property
    def n(self) -> int:
        """How many values are known."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """The arithmetic mean, None when nothing is known."""
        return math.fsum(self.values) / self.n if self.values else None

    @property
    def std(self) -> float | None:
        """The sample standard deviation (divisor n - 1), None for fewer than two values."""
        return statistics.stdev(self.values) if self.n > 1 else None


@dataclasses.dataclass(frozen=True)
class Group:
    """All networks of one branch and level."""

    branch: str
    level: int
    rows: tuple[Row, ...]

    def spread(self, name: str) -> Spread:
        """A number of the rows, such as `test_accuracy`, over the seeds."""
        return Spread.of(getattr(row, name) for row in self.rows)

    @property
    def n(self) -> int:
        """How many networks."""
        return len(self.rows)

    @property
    def remaining(self) -> float:
        """Mean kept share of the prunable weights, in [0, 1]."""
        return 1.0 - math.fsum(row.sparsity for row in self.rows) / self.n

    @property
    def cached(self) -> int:
        """How many networks were there before the command started."""
        return sum(row.cached for row in self.rows)

    @property
    def layers(self) -> dict[str, float]:
        """Path of a prunable leaf -> mean kept share, over the seeds that know it."""
        removed: dict[str, list[float]] = {}
        for row in self.rows:
            for path, sparsity in row.layer_sparsity.items():
                removed.setdefault(path, []).append(sparsity)
        return {path: 1.0 - math.fsum(values) / len(values) for path, values in removed.items()}


def group_rows(rows: Iterable[Row]) -> list[Group]:
    """Groups by branch, in order of first appearance, and level, ascending; seeds ascending within."""
    found: dict[str, dict[int, list[Row]]] = {}
    for row in rows:
        found.setdefault(row.branch, {}).setdefault(row.level, []).append(row)
    return [
        Group(branch, level, tuple(sorted(found[branch][level], key=lambda row: row.seed)))
        for branch in found
        for level in sorted(found[branch])
    ]


def dense_group(groups: Sequence[Group]) -> Group | None:
    """The dense networks everything is compared with, if there are any."""
    return next((group for group in groups if group.branch == "dense"), None)


def sparse_branches(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Every branch but the dense one -> its groups by level."""
    branches: dict[str, list[Group]] = {}
    for group in groups:
        if group.branch != "dense":
            branches.setdefault(group.branch, []).append(group)
    return branches


def matches(group: Group, dense: Group) -> bool:
    """Whether the mean test accuracy is at most `MARGIN` below that of the dense networks."""
    difference = gap(group, dense)
    # Accuracies are decimal fractions; a difference of exactly the margin must not fail in its last bit.
    return difference is not None and difference >= -MARGIN - 1e-12


def gap(group: Group, dense: Group) -> float | None:
    """Mean test accuracy minus that of the dense networks; None when one of them is not known."""
    mean, reference = group.spread("test_accuracy").mean, dense.spread("test_accuracy").mean
    return None if mean is None or reference is None else mean - reference


def sparsest_match(groups: Iterable[Group], dense: Group) -> Group | None:
    """The group with the fewest weights that matches the dense networks; of equals the lowest level."""
    matching = [group for group in groups if matches(group, dense)]
    return min(matching, key=lambda group: (group.remaining, group.level), default=None)
