"""Identities of channels: numbers for positions along axes, of which those that must go together become one."""

from collections.abc import Sequence

import numpy as np

# One identity per position along an axis: from 0 a number of `UnionFind`, below 0 a position that nothing can remove
# (and that says why). None is an axis that takes any size, such as that of a broadcast scalar.
Labels = np.ndarray | None

_FREE = np.iinfo(np.int64).max


class UnionFind:
    """A union-find forest over the positions of all axes; trees carry the reason why they cannot go, if there is one.

    The root of a tree is its lowest number, and of several reasons that which was named first stays, so that results
    do not depend on the order in which equal things are merged.
    """

    def __init__(self) -> None:
        self._parents = np.zeros(0, np.int64)
        self._pinned = np.zeros(0, np.int64)  # by root: the number of the reason, or _FREE
        self._reasons: list[str] = []

    def fresh(self, size: int) -> np.ndarray:
        """New identities, int [size]."""
        start = len(self._parents)
        ids = np.arange(start, start + size)
        self._parents = np.concatenate([self._parents, ids])
        self._pinned = np.concatenate([self._pinned, np.full(size, _FREE)])
        return ids

    def fixed(self, size: int, reason: str) -> np.ndarray:
        """Positions that cannot go, for one reason, int [size]."""
        if reason not in self._reasons:
            self._reasons.append(reason)
        return np.full(size, -1 - self._reasons.index(reason))

    def roots(self, labels: np.ndarray) -> np.ndarray:
        """What stands for the identities now: equal numbers go together."""
        own = labels >= 0
        ids = found = labels[own]
        while len(found) and not np.array_equal(above := self._parents[found], found):
            found = above
        self._parents[ids] = found
        roots = labels.copy()
        roots[own] = found
        return roots

    def reason(self, root: int) -> str:
        """Why a root cannot go; empty if it can."""
        number = -1 - root if root < 0 else int(self._pinned[root])
        return "" if number == _FREE else self._reasons[number]

    def pin(self, labels: Labels, reason: str) -> None:
        """Says of all identities that they cannot go."""
        if labels is not None:
            self.merge(labels, self.fixed(len(labels), reason))

    def merge(self, first: Labels, second: Labels) -> Labels:
        """Labels of two axes of one size that are used as one; their identities are from now on pairwise the same."""
        if first is None or second is None:
            return second if first is None else first
        first, second = self.roots(first), self.roots(second)
        while (different := (first != second) & (np.maximum(first, second) >= 0)).any():
            low, high = np.minimum(first, second)[different], np.maximum(first, second)[different]
            fixed = low < 0
            np.minimum.at(self._pinned, high[fixed], -1 - low[fixed])
            high, once = np.unique(high[~fixed], return_index=True)
            if not len(high):
                break
            self._parents[high] = low[~fixed][once]
            np.minimum.at(self._pinned, self.roots(high), self._pinned[high])
            first, second = self.roots(first), self.roots(second)
        return np.where(first >= 0, first, second)

    def merge_parts(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """Makes position i of all parts, which are of one size, the same; the labels that all of them have now."""
        merged = parts[0]
        for part in parts[1:]:
            merged = self.merge(merged, part)
            assert merged is not None
        return self.roots(merged)


def is_tracked(labels: Labels) -> bool:
    """Whether any position of an axis has an identity that may go."""
    return labels is not None and bool((labels >= 0).any())
