"""Paired tests of several differences at once, corrected for their number (Holm 1979)."""

import dataclasses
from collections.abc import Mapping, Sequence

from jaxticket.analysis.statistics import Difference, p_value, paired_difference


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """One of several differences between networks of one seed, and whether it is settled among them.

    Attributes:
        difference: with the interval of this one taken alone.
        low_holm: end of the interval corrected for all of them, which excludes zero exactly where `settled`; None for a
            single seed, and for equal differences that are too few for it.
        high_holm: likewise.
        p: two-sided p-value of this one taken alone; None for a single seed.
        p_holm: the same, corrected for all of them.
        settled: whether `p_holm` is at most 1 - confidence.
    """

    difference: Difference
    low_holm: float | None
    high_holm: float | None
    p: float | None
    p_holm: float | None
    settled: bool


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p-values corrected for their number, by Holm's step-down procedure (Holm 1979).

    Of m sorted values the i-th (from 1) becomes the largest of `(m - j + 1) p_j` over j <= i, at most 1. Whatever
    depends on whatever, the chance that any true null hypothesis gets a corrected value of at most alpha is at most
    alpha.

    Args:
        p_values: None where nothing is known; such a comparison was made all the same, counts among the m, and stays
            None.

    Example:
        >>> from jaxticket import analysis
        >>> analysis.holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    size = len(p_values)
    order = sorted(range(size), key=lambda index: _or_one(p_values[index]))
    corrected: list[float | None] = [None] * size
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (size - rank) * _or_one(p_values[index])))
        corrected[index] = None if p_values[index] is None else largest
    return corrected


def paired_tests(
    pairs: Sequence[tuple[Mapping[int, float], Mapping[int, float]]], confidence: float = 0.95
) -> list[PairedTest]:
    """The differences first - second of all pairs, which are one family: each is corrected for all others.

    The corrected interval of a difference is the one at the confidence `1 - (1 - confidence) / k`, where k is the
    factor of Holm's step: m for the smallest p-value, one less for each that is settled before, and for all that are
    not settled the factor at which the procedure stopped. So the interval excludes zero exactly where the difference is
    settled.

    Args:
        pairs: (seed -> value of the treatment, seed -> value of its control); only seeds that both have count.
        confidence: of a single interval, and of all decisions together.

    Raises:
        ConfigError: the two of a pair have no seed in common.

    Example:
        >>> from jaxticket import analysis
        >>> [found] = analysis.paired_tests([({0: 0.9, 1: 0.92}, {0: 0.8, 1: 0.83})])
        >>> round(found.difference.mean, 3), found.settled
        (0.095, True)
    """
    differences = [paired_difference(a, b, confidence) for a, b in pairs]
    values = [p_value(difference) for difference in differences]
    corrected = holm(values)
    settled = [p_holm is not None and p_holm <= 1 - confidence for p_holm in corrected]
    tests = []
    for number, factor in enumerate(_factors(values, settled)):
        step = paired_difference(*pairs[number], 1 - (1 - confidence) / factor)
        tests.append(
            PairedTest(
                differences[number], step.low, step.high, values[number], corrected[number], settled=settled[number]
            )
        )
    return tests


def _or_one(p: float | None) -> float:
    return 1.0 if p is None else p


def _factors(values: Sequence[float | None], settled: Sequence[bool]) -> list[int]:
    """By what each interval's share of error is divided."""
    size = len(values)
    stopped = max(1, size - sum(settled))
    ranks = {index: rank for rank, index in enumerate(sorted(range(size), key=lambda i: _or_one(values[i])))}
    return [size - ranks[index] if settled[index] else stopped for index in range(size)]
