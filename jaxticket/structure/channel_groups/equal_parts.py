"""Channels of the parts of an axis, tied so that every part loses as many as the others."""

import numpy as np

from jaxticket.structure.channel_groups.union_find import UnionFind


def tie_equal_parts(ids: UnionFind, parts: np.ndarray) -> None:
    """Merges classes of channels until each has equally many in all parts; one that finds no partners is pinned.

    A class that has as many in each part already stays alone, so nothing is tied that need not be: in ShuffleNet,
    whose shuffles spread the channels over both halves, tying by position would in the end make all channels one.

    Args:
        ids: the identities. When several axes are balanced one after the other, those before stay so: merging classes
            that are in balance gives one that is.
        parts: labels, int [parts, size].
    """
    count, size = parts.shape
    roots = ids.roots(parts)
    classes, first, places = np.unique(roots, return_index=True, return_inverse=True)
    numbers = np.zeros((len(classes), count), np.int64)
    np.add.at(numbers, (places.ravel(), np.repeat(np.arange(count), size)), 1)
    uneven = [place for place in np.argsort(first % size, kind="stable") if _imbalance(numbers[place]) > 0]
    waiting = np.array([place for place in uneven if not ids.reason(int(classes[place]))], int)
    while len(waiting):
        chosen, total, waiting = waiting[0], numbers[waiting[0]], waiting[1:]
        while _imbalance(total) and len(waiting):
            best = int(np.argmin(_imbalance(total + numbers[waiting])))
            ids.merge(classes[[chosen]], classes[waiting[[best]]])
            total = total + numbers[waiting[best]]
            waiting = np.delete(waiting, best)
        if _imbalance(total):
            ids.pin(classes[[chosen]], "the other parts of a split cannot lose as many")


def _imbalance(numbers: np.ndarray) -> np.ndarray:
    """How many are missing in all parts together to as many as in the fullest."""
    return (numbers.max(-1, keepdims=True) - numbers).sum(-1)
