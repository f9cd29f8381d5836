"""Which differences of a study are settled: paired tests, corrected for their number (Holm 1979)."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxticket.analysis.families import paired_tests
from jaxticket.core.errors import ConfigError

# Columns of a row, besides its branch, by which networks are different treatments.
_PARTS_OF_NAME = ("source", "aids")


@dataclasses.dataclass(frozen=True)
class Pair:
    """A treatment and what it is compared with, seed by seed.

    Attributes:
        treatment: name of the networks, as `treatment_of` has it.
        control: likewise.
        control_level: the level of the control; None for the treatment's own. A dense network has level 0.
        case: fields of the rows that must be equal in both, such as `("lr",)`.
    """

    treatment: str
    control: str
    control_level: int | None = None
    case: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Accuracy of a treatment minus that of its control, over the seeds that both have.

    Attributes:
        treatment: name of the networks.
        control: likewise.
        level: of the treatment; None where networks were matched by something else than their level.
        case: what both have in common besides the seed, such as `{"lr": 0.1}`.
        n: number of seeds.
        mean: of the differences, in accuracy.
        low: end of the interval of this comparison taken alone; None for a single seed and for a few equal differences.
        high: likewise.
        low_holm: end of the interval corrected for all comparisons, which excludes zero exactly where `settled`; None
            where there is none, as with `low`.
        high_holm: likewise.
        p: two-sided p-value of this comparison taken alone; None for a single seed.
        p_holm: the same, corrected for all comparisons.
        comparisons: their number.
        confidence: of the intervals, and of all decisions together.
        settled: whether `p_holm` is at most 1 - confidence.
    """

    treatment: str
    control: str
    level: int | None
    case: Mapping[str, Any]
    n: int
    mean: float
    low: float | None
    high: float | None
    low_holm: float | None
    high_holm: float | None
    p: float | None
    p_holm: float | None
    comparisons: int
    confidence: float
    settled: bool


def treatment_of(row: Mapping[str, Any]) -> str:
    """The name under which a row is compared: its branch, with the source of its ticket or its aids: `omp soft`.

    Example:
        >>> from jaxticket import analysis
        >>> analysis.treatment_of({"branch": "omp", "aids": "soft"})
        'omp soft'
    """
    parts = (row[name] for name in _PARTS_OF_NAME if isinstance(row.get(name), str))
    return " ".join([str(row["branch"]), *parts])


def compare(
    rows: Iterable[Mapping[str, Any]], pairs: Sequence[Pair], *, confidence: float = 0.95, value: str = "test_accuracy"
) -> list[Comparison]:
    """All comparisons of a study, which are one family: each is corrected for all others.

    A pair is compared at every level and case that the treatment has, by the differences of networks of one seed; what
    is settled is decided by `paired_tests`.

    Args:
        rows: of a summary: each has `branch`, `level`, `seed` and `value`; one whose value is None is left out.
        pairs: what is compared with what; those of which there are no rows of one seed, level and case are left out.
        confidence: of a single interval, and of all decisions together.
        value: the field that is compared.

    Raises:
        ConfigError: two rows of one seed cannot be told apart by the case of a pair.

    Example:
        >>> from jaxticket import analysis
        >>> accuracies = {"imp": (0.9, 0.92), "random": (0.8, 0.83)}
        >>> rows = [
        ...     {"branch": branch, "level": 1, "seed": seed, "test_accuracy": value}
        ...     for branch, values in accuracies.items()
        ...     for seed, value in enumerate(values)
        ... ]
        >>> [found] = analysis.compare(rows, [analysis.Pair("imp", "random")])
        >>> round(found.mean, 3), found.n, found.settled
        (0.095, 2, True)
    """
    rows = [row for row in rows if row.get(value) is not None]
    found = [
        (pair, level, dict(case), treatment, control)
        for pair in pairs
        for (level, case), treatment, control in _matched(rows, pair, value)
    ]
    tests = paired_tests([(treatment, control) for *_, treatment, control in found], confidence)
    return [
        Comparison(
            treatment=pair.treatment,
            control=pair.control,
            level=level,
            case=case,
            n=test.difference.n,
            mean=test.difference.mean,
            low=test.difference.low,
            high=test.difference.high,
            low_holm=test.low_holm,
            high_holm=test.high_holm,
            p=test.p,
            p_holm=test.p_holm,
            comparisons=len(found),
            confidence=confidence,
            settled=test.settled,
        )
        for (pair, level, case, *_), test in zip(found, tests, strict=True)
    ]


_Case = tuple[tuple[str, Any], ...]


def _matched(
    rows: Sequence[Mapping[str, Any]], pair: Pair, value: str
) -> list[tuple[tuple[int | None, _Case], dict[int, float], dict[int, float]]]:
    """((level, case), values of the treatment by seed, values of the control by seed), in the order of the rows."""
    treatments = _by_place(rows, pair, pair.treatment, value)
    controls = _by_place(rows, pair, pair.control, value)
    matched = []
    for (level, case), own in treatments.items():
        control = controls.get((level if pair.control_level is None else pair.control_level, case), {})
        if own.keys() & control.keys():
            matched.append(((level, case), own, control))
    return matched


def _by_place(
    rows: Sequence[Mapping[str, Any]], pair: Pair, name: str, value: str
) -> dict[tuple[int | None, _Case], dict[int, float]]:
    found: dict[tuple[int | None, _Case], dict[int, float]] = {}
    for row in rows:
        if treatment_of(row) != name:
            continue
        case = tuple((key, row[key]) for key in pair.case if key in row)
        values = found.setdefault((row["level"], case), {})
        if row["seed"] in values:
            raise ConfigError(
                f"compare(): {name} has two networks of level {row['level']}, seed {row['seed']} and case "
                f"{dict(case)}; the pair must name in `case` what tells them apart, found {pair.case}"
            )
        values[row["seed"]] = row[value]
    return found
