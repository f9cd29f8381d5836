"""Means of what was measured batch by batch."""

from collections.abc import Sequence

import numpy as np


def weighted_mean(values: Sequence[float], counts: Sequence[float]) -> float:
    """The mean over examples of means over batches of different sizes: `sum(values * counts) / sum(counts)`.

    Raises:
        ValueError: no examples were counted, or the lengths differ.
    """
    if len(values) != len(counts):
        raise ValueError(f"weighted_mean: {len(values)} values and {len(counts)} counts; give one count for each value")
    if not sum(counts):
        raise ValueError("weighted_mean: the counts sum to 0; give at least one example")
    return float(np.average(np.asarray(values, np.float64), weights=np.asarray(counts, np.float64)))
