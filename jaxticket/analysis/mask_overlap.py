"""How much two masks have in common, and how much chance alone would give them."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxticket.core.errors import MaskError


@dataclasses.dataclass(frozen=True)
class Overlap:
    """What two masks share.

    Attributes:
        shared: number of weights that both keep.
        either: number of weights that one of them keeps, or both.
        expected: the number of shared weights of two random masks with the same number of weights in every layer.
    """

    shared: int
    either: int
    expected: float

    @property
    def jaccard(self) -> float:
        """Shared by either, in [0, 1]; 1 for equal masks, also for empty ones."""
        return self.shared / self.either if self.either else 1.0

    @property
    def chance(self) -> float:
        """What `jaccard` would be if the masks knew nothing of each other."""
        # The sizes add up to shared + either, whatever is shared.
        either = self.shared + self.either - self.expected
        return self.expected / either if either else 1.0


def overlap(a: Mapping[str, Any], b: Mapping[str, Any]) -> Overlap:
    """Counts what two masks of one network share.

    Raises:
        MaskError: their paths or shapes differ.

    Example:
        >>> from jaxticket import analysis
        >>> analysis.overlap({"w": np.array([True, True, False, False])}, {"w": np.array([True, False, True, False])})
        Overlap(shared=1, either=3, expected=1.0)
    """
    if a.keys() != b.keys():
        raise MaskError(f"{min(a.keys() ^ b.keys())}: in one mask only; both must be of one network")
    shared, either, expected = 0, 0, []
    for path in a:
        x, y = np.asarray(a[path]), np.asarray(b[path])
        if x.shape != y.shape:
            raise MaskError(f"{path}: shapes are {x.shape} and {y.shape}; both masks must be of one network")
        shared += int((x & y).sum())
        either += int((x | y).sum())
        expected.append(int(x.sum()) * int(y.sum()) / x.size if x.size else 0.0)
    return Overlap(shared, either, math.fsum(expected))
