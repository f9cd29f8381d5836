"""Rows brought together: the networks of one branch, level and case, over their seeds."""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from jaxticket.lab.row import Row, number

# A level matches the dense network when its mean test accuracy is at most this much below the dense mean.
MARGIN = 0.005

Case = tuple[tuple[str, float], ...]
NO_CASE: Mapping[str, float] = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Spread:
    """A quantity over seeds: the values that are known and finite, and how many are missing."""

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
    """All networks of one treatment (a branch, with the texts of its case), level and numbers of the case."""

    branch: str
    level: int
    rows: tuple[Row, ...]

    @property
    def case(self) -> Mapping[str, float]:
        """What the rows were trained with, such as `{"lr": 0.1}`; empty for most experiments."""
        return self.rows[0].numbers

    @property
    def name(self) -> str:
        """The branch, with its case where there is one: `imp`, `lt_imp at lr 0.1`."""
        return self.branch + at_case(self.case)

    def spread(self, name: str) -> Spread:
        """A column of the rows, such as `test_accuracy`, over the seeds; only numbers count."""
        return Spread.of(
            number(row.extra[name] if name in row.extra else getattr(row, name, None)) for row in self.rows
        )

    def mean(self, name: str) -> float | None:
        """The mean of a column over the seeds; None where nothing is known."""
        return self.spread(name).mean

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
    """Groups by branch and case, each in order of first appearance, and level, ascending; seeds ascending within."""
    found: dict[str, dict[Case, dict[int, list[Row]]]] = {}
    for row in rows:
        cases_of = found.setdefault(row.treatment, {})
        cases_of.setdefault(case_key(row.numbers), {}).setdefault(row.level, []).append(row)
    return [
        Group(branch, level, tuple(sorted(levels[level], key=lambda row: row.seed)))
        for branch, cases in found.items()
        for levels in cases.values()
        for level in sorted(levels)
    ]


def case_key(case: Mapping[str, float]) -> Case:
    """A case as something to look up with."""
    return tuple(case.items())


def at_case(case: Mapping[str, float]) -> str:
    """A case in words that follow a name: ` at lr 0.1`; empty where there is none."""
    return " at " + ", ".join(f"{name} {value:g}" for name, value in case.items()) if case else ""


def cases(groups: Iterable[Group]) -> list[Mapping[str, float]]:
    """The cases there are, in order of first appearance; a single empty one for most experiments."""
    return list({case_key(group.case): group.case for group in groups}.values())


def dense_group(groups: Sequence[Group], case: Mapping[str, float] = NO_CASE) -> Group | None:
    """The dense networks that those of a case are compared with, if there are any."""
    return next((group for group in groups if group.branch == "dense" and group.case == case), None)


def comparable_groups(groups: Sequence[Group]) -> list[Group]:
    """Those that have dense networks of their case to be compared with; all of them where there are no dense networks.

    What is tested on other data than the dense networks, such as on a part of the classes, has a case of its own.
    """
    dense = {case_key(group.case) for group in groups if group.branch == "dense"}
    return [group for group in groups if not dense or case_key(group.case) in dense]


def sparse_branches(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Every branch but the dense ones, at every case -> its groups by level; dense networks are also smaller ones."""
    branches: dict[str, list[Group]] = {}
    for group in groups:
        if group.branch != "dense" and number(group.rows[0].extra.get("parameters")) is None:
            branches.setdefault(group.name, []).append(group)
    return branches


def first_branches(branches: Mapping[str, list[Group]], most: int) -> tuple[dict[str, list[Group]], list[str]]:
    """About the first `most` of them, a branch with all its cases or not at all; and the branches left out."""
    by_branch: dict[str, dict[str, list[Group]]] = {}
    for name, found in branches.items():
        # The dense networks may come first, as the level everything starts from.
        by_branch.setdefault(found[-1].branch if found else name, {})[name] = found
    widest = max(map(len, by_branch.values()), default=1)
    whole = max(most // widest, 1)
    shown = {name: found for part in list(by_branch.values())[:whole] for name, found in part.items()}
    return shown, list(by_branch)[whole:]


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
