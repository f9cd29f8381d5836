"""Which differences of a study are settled: paired tests, corrected for how many comparisons were made (Holm 1979)."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxticket.analysis.statistics import Difference, paired_difference
from jaxticket.core.errors import ConfigError

# Differences that vary by less are called equal: what is left of them is the rounding of means of floats.
_NO_SPREAD = 1e-9
# What is written of a network beside its branch, and makes it another treatment.
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
        case: what both have in common beside the seed, such as `{"lr": 0.1}`.
        n: number of seeds.
        mean: of the differences, in accuracy.
        low: end of the interval of this comparison taken alone; None for a single seed.
        high: likewise.
        low_holm: end of the interval corrected for all comparisons, which excludes zero exactly where `settled`;
            None where `p` does not come from it.
        high_holm: likewise.
        p: two-sided p-value of this comparison taken alone; None for a single seed.
        p_holm: the same, corrected for all comparisons.
        comparisons: how many were made.
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
    """The name under which a row is compared: its branch, with the source of its ticket or its aids: `omp soft`."""
    parts = (row[name] for name in _PARTS_OF_NAME if isinstance(row.get(name), str))
    return " ".join([str(row["branch"]), *parts])


def p_value(difference: Difference, threshold: float = 0.0) -> float | None:
    """The two-sided p-value of "the true mean is `threshold`", by the paired t test.

    Differences that are all equal leave the t test without a spread: it would settle anything. They are then judged
    by their sign alone: n of n on one side has the p-value 2^(1 - n), so that fewer than six equal differences are not
    settled at 95 %. Differences that all equal the threshold have 1.

    Args:
        difference: of the values, at any confidence.
        threshold: what the mean is compared with.

    Returns:
        A number in [0, 1]; None for a single value, of which nothing is known.
    """
    if difference.std is None:
        return None
    distance = difference.mean - threshold
    if difference.std <= _NO_SPREAD:
        return 1.0 if abs(distance) <= _NO_SPREAD else 2.0 ** (1 - difference.n)
    from scipy.stats import t  # heavy, and only needed here

    return float(2 * t.sf(abs(distance) / difference.std * math.sqrt(difference.n), difference.n - 1))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p-values corrected for their number, by Holm's step-down procedure (Holm 1979).

    Of m sorted values the i-th (from 1) becomes the largest of `(m - j + 1) p_j` over j <= i, at most 1. Whatever
    depends on whatever, the chance that any true null hypothesis gets a corrected value of at most alpha is at most
    alpha.

    Args:
        p_values: None where nothing is known; such a comparison was made all the same, counts among the m, and stays
            None.
    """
    size = len(p_values)
    order = sorted(range(size), key=lambda index: _or_one(p_values[index]))
    corrected: list[float | None] = [None] * size
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (size - rank) * _or_one(p_values[index])))
        corrected[index] = None if p_values[index] is None else largest
    return corrected


def compare(
    rows: Iterable[Mapping[str, Any]], pairs: Sequence[Pair], *, confidence: float = 0.95, value: str = "test_accuracy"
) -> list[Comparison]:
    """All comparisons of a study, which are one family: each is corrected for all others.

    A pair is compared at every level and case that the treatment has, by the differences of networks of one seed. The
    corrected interval of a comparison is Student's at the confidence `1 - (1 - confidence) / k`, where k is the factor
    of Holm's step: m for the smallest p-value, one less for each that is settled before, and for all that are not
    settled the factor at which the procedure stopped. So the interval excludes zero exactly where the comparison is
    settled.

    Args:
        rows: of a summary: each has `branch`, `level`, `seed` and `value`; one whose value is None is left out.
        pairs: what is compared with what; those of which there are no rows of one seed, level and case are left out.
        confidence: of a single interval, and of all decisions together.
        value: the field that is compared.

    Raises:
        ConfigError: two rows of one seed cannot be told apart by the case of a pair.
    """
    rows = [row for row in rows if row.get(value) is not None]
    found = [
        (pair, level, dict(case), treatment, control)
        for pair in pairs
        for (level, case), treatment, control in _matched(rows, pair, value)
    ]
    differences = [paired_difference(treatment, control, confidence) for *_, treatment, control in found]
    values = [p_value(difference) for difference in differences]
    corrected = holm(values)
    factors = _factors(values, corrected, 1 - confidence)
    compared = []
    for (pair, level, case, treatment, control), difference, p, p_holm, factor in zip(
        found, differences, values, corrected, factors, strict=True
    ):
        step = None
        if difference.std is not None and difference.std > _NO_SPREAD:
            step = paired_difference(treatment, control, 1 - (1 - confidence) / factor)
        compared.append(
            Comparison(
                treatment=pair.treatment,
                control=pair.control,
                level=level,
                case=case,
                n=difference.n,
                mean=difference.mean,
                low=difference.low,
                high=difference.high,
                low_holm=step and step.low,
                high_holm=step and step.high,
                p=p,
                p_holm=p_holm,
                comparisons=len(found),
                confidence=confidence,
                settled=p_holm is not None and p_holm <= 1 - confidence,
            )
        )
    return compared


def _or_one(p: float | None) -> float:
    return 1.0 if p is None else p


def _factors(values: Sequence[float | None], corrected: Sequence[float | None], alpha: float) -> list[int]:
    """By what each interval's share of error is divided."""
    size = len(values)
    settled = [p_holm is not None and p_holm <= alpha for p_holm in corrected]
    stopped = max(1, size - sum(settled))
    ranks = {index: rank for rank, index in enumerate(sorted(range(size), key=lambda i: _or_one(values[i])))}
    return [size - ranks[index] if settled[index] else stopped for index in range(size)]


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
    places: dict[tuple[int | None, _Case], dict[int, float]] = {}
    for row in rows:
        if treatment_of(row) != name:
            continue
        case = tuple((key, row[key]) for key in pair.case if key in row)
        values = places.setdefault((row["level"], case), {})
        if row["seed"] in values:
            raise ConfigError(
                f"compare(): {name} has two networks of level {row['level']}, seed {row['seed']} and case "
                f"{dict(case)}; the pair must name in `case` what tells them apart, found {pair.case}"
            )
        values[row["seed"]] = row[value]
    return places
