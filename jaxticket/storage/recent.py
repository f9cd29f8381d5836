"""What was read last stays in memory, so that a file which several steps in a row need is read once."""

import collections
from collections.abc import Hashable, Mapping
from typing import Any


class RecentArrays:
    """Read-only arrays by key; those not asked for the longest leave first.

    Args:
        most: bytes of all arrays together; more than that alone is not kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: collections.OrderedDict[Hashable, Mapping[str, Any]] = collections.OrderedDict()

    def get(self, key: Hashable) -> dict[str, Any] | None:
        """The arrays of that key by name, None where they are not kept."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return dict(self._kept[key])

    def add(self, key: Hashable, arrays: Mapping[str, Any]) -> None:
        """Keeps arrays, none of which may be changed any more."""
        self._kept[key] = dict(arrays)
        while sum(array.nbytes for kept in self._kept.values() for array in kept.values()) > self._most:
            self._kept.popitem(last=False)
