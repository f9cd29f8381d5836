"""How far those who prune one mask agree on what is removed: the quantity that COLT lives on."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class PruningOverlap:
    """What several masks, each pruned from one mask, removed together.

    Attributes:
        overlap: q, the share of what one of a pair removes that the other removes too, the mean over all pairs; None
            where nothing was removed.
        layers: path -> the same within each leaf.
        kept: the share of the weights alive before that all of them keep.
    """

    overlap: float | None
    layers: dict[str, float | None]
    kept: float


def pruning_overlap(before: Mapping[str, Any], after: Sequence[Mapping[str, Any]]) -> PruningOverlap:
    """Counts what masks pruned from `before` removed, and what any two of them both removed.

    Two that remove different numbers from a leaf share `|A & B| / ((|A| + |B|) / 2)`. For two masks that each remove a
    share p, what both keep is `1 - p * (2 - q)`.

    Args:
        before: path -> bool array, True = kept.
        after: at least two masks of the same paths and shapes, each within `before`.
    """
    shared, removed, alive, left = {}, {}, 0, 0
    for path, kept in before.items():
        kept = np.asarray(kept)
        gone = [kept & ~np.asarray(mask[path]) for mask in after]
        shared[path] = [int((a & b).sum()) for a, b in itertools.combinations(gone, 2)]
        removed[path] = [(int(a.sum()) + int(b.sum())) / 2 for a, b in itertools.combinations(gone, 2)]
        alive += int(kept.sum())
        left += int(kept.sum() - np.logical_or.reduce(gone).sum())
    return PruningOverlap(
        _mean_share(_by_pair(shared), _by_pair(removed)),
        {path: _mean_share(shared[path], removed[path]) for path in before},
        left / alive if alive else 1.0,
    )


def expected_kept(rate: float, overlap: float) -> float:
    """The share of the weights that two masks both keep, which each remove `rate` of them and agree on `overlap`."""
    return 1 - rate * (2 - overlap)


def _by_pair(counts: Mapping[str, Sequence[float]]) -> list[float]:
    return [math.fsum(pair) for pair in zip(*counts.values(), strict=True)]


def _mean_share(shared: Sequence[float], removed: Sequence[float]) -> float | None:
    shares = [one / of for one, of in zip(shared, removed, strict=True) if of]
    return math.fsum(shares) / len(shares) if shares else None
