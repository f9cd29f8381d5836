"""What a few seeds allow to say: means with intervals, and differences of networks that share a seed."""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence

from jaxticket.core.errors import ConfigError

# Values that vary by less are called equal: what is left of their spread is the rounding of floats.
_NO_SPREAD = 1e-9


@dataclasses.dataclass(frozen=True)
class Difference:
    """A mean over seeds, with the interval in which the true mean lies at the given confidence.

    Attributes:
        mean: over the seeds.
        low: end of the interval; None for a single seed, which says nothing of the spread, and for values that are all
            equal, unless they are so many that their sign alone decides (see `mean_interval`).
        high: likewise.
        n: number of seeds.
        std: sample standard deviation (divisor n - 1); None for a single seed.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    std: float | None = None

    @property
    def is_constant(self) -> bool:
        """Whether the values are all equal but for rounding; False for a single one."""
        return self.std is not None and self.std <= _NO_SPREAD

    def against(self, threshold: float) -> str:
        """`above` or `below` where the whole interval lies on one side of `threshold`, else `undecided`.

        That is so exactly where `p_value` of the threshold is at most 1 - the confidence of the interval.
        """
        if self.low is None or self.high is None:
            return "undecided"
        above, below = self.low - threshold, threshold - self.high
        return "above" if above > _NO_SPREAD else "below" if below > _NO_SPREAD else "undecided"


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Difference:
    """The mean of a few values and its interval by Student's t with n - 1 degrees of freedom.

    Values that are all equal leave Student's t without a spread, and would give any number of them an interval without
    width. Theirs is the interval of the sign test, which they fill: as n values on one side have the p-value 2^(1 - n),
    it is their value where that is at most 1 - confidence (six of them at 95 %), and there is none for fewer.

    Raises:
        ConfigError: there are no values.

    Example:
        >>> from jaxticket import analysis
        >>> found = analysis.mean_interval([0.90, 0.92, 0.94])
        >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3)
        (0.92, 0.87, 0.97)
    """
    if not values:
        raise ConfigError("mean_interval(): needs at least one value, found none")
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Difference(mean, None, None, 1)
    std = statistics.stdev(values)
    if std <= _NO_SPREAD:
        end = mean if _sign_test(n) <= 1 - confidence else None
        return Difference(mean, end, end, n, std)
    from scipy.stats import t  # heavy, and only needed here

    half = float(t.ppf(0.5 + confidence / 2, n - 1)) * std / math.sqrt(n)
    return Difference(mean, mean - half, mean + half, n, std)


def paired_difference(a: Mapping[int, float], b: Mapping[int, float], confidence: float = 0.95) -> Difference:
    """The mean of `a - b` over the seeds that both have.

    Networks of one seed share their initial weights or the order of their data, so that their difference varies less
    than the networks do.

    Args:
        a: seed -> value.
        b: likewise.
        confidence: of the interval.

    Raises:
        ConfigError: no seed is in both.

    Example:
        >>> from jaxticket import analysis
        >>> found = analysis.paired_difference({0: 0.9, 1: 0.8, 2: 0.7}, {0: 0.8, 1: 0.7, 2: 0.4})
        >>> round(found.mean, 3), found.n
        (0.167, 3)
    """
    seeds = sorted(a.keys() & b.keys())
    if not seeds:
        raise ConfigError(f"paired_difference(): no seed in common; found {sorted(a)} and {sorted(b)}")
    return mean_interval([a[seed] - b[seed] for seed in seeds], confidence)


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

    Example:
        >>> from jaxticket import analysis
        >>> round(analysis.p_value(analysis.mean_interval([0.01, 0.02, 0.03])), 3)
        0.074
    """
    if difference.std is None:
        return None
    distance = difference.mean - threshold
    if difference.is_constant:
        return 1.0 if abs(distance) <= _NO_SPREAD else _sign_test(difference.n)
    from scipy.stats import t  # heavy, and only needed here

    return float(2 * t.sf(abs(distance) / difference.std * math.sqrt(difference.n), difference.n - 1))


def _sign_test(n: int) -> float:
    """The two-sided p-value of n of n values on one side."""
    return 2.0 ** (1 - n)
