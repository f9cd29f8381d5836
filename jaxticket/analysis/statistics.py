"""What a few seeds allow to say: means with intervals, and differences of networks that share a seed."""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence

from jaxticket.core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Difference:
    """A mean over seeds, with the interval in which the true mean lies at the given confidence.

    Attributes:
        mean: over the seeds.
        low: end of the interval; None for a single seed, which says nothing of the spread.
        high: likewise.
        n: number of seeds.
        std: sample standard deviation (divisor n - 1); None for a single seed.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    std: float | None = None

    def against(self, threshold: float) -> str:
        """`above` or `below` where the whole interval lies on one side of `threshold`, else `undecided`."""
        if self.low is None or self.high is None:
            return "undecided"
        return "above" if self.low > threshold else "below" if self.high < threshold else "undecided"


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Difference:
    """The mean of a few values and its interval by Student's t with n - 1 degrees of freedom.

    Raises:
        ConfigError: there are no values.
    """
    if not values:
        raise ConfigError("mean_interval(): needs at least one value, found none")
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Difference(mean, None, None, 1)
    from scipy.stats import t  # heavy, and only needed here

    std = statistics.stdev(values)
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
    """
    seeds = sorted(a.keys() & b.keys())
    if not seeds:
        raise ConfigError(f"paired_difference(): no seed in common; found {sorted(a)} and {sorted(b)}")
    return mean_interval([a[seed] - b[seed] for seed in seeds], confidence)
