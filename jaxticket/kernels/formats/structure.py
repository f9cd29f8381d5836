"""Which blocks of a weight matrix are kept: static, hashable, and everything that follows from it."""

import dataclasses
import functools
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class BlockStructure:
    """The kept blocks of a weight's (inputs, outputs) matrix.

    A kernel [..., outputs] is taken as the matrix [product of the others, outputs], as `jaxticket.block` does. Blocks
    at the lower and right edge may reach beyond it. Two structures are equal if all their fields are; the hash of
    `bits` is computed once, so that a jitted function finds its compiled form quickly.

    Attributes:
        shape: of the weight, rank 2 or more.
        block: (inputs, outputs) of a block.
        bits: `mask` in row-major order, eight blocks to a byte.
    """

    shape: tuple[int, ...]
    block: tuple[int, int]
    bits: bytes

    @classmethod
    def of(cls, mask: np.ndarray, shape: tuple[int, ...], block: tuple[int, int]) -> "BlockStructure":
        """The structure that keeps the blocks that are True in `mask`, bool [input blocks, output blocks]."""
        return cls(tuple(shape), block, np.packbits(mask).tobytes())

    @property
    def matrix(self) -> tuple[int, int]:
        """(inputs, outputs) of the matrix."""
        return math.prod(self.shape[:-1]), self.shape[-1]

    @property
    def grid(self) -> tuple[int, int]:
        """How many blocks there are along the inputs and along the outputs, kept or not."""
        inputs, outputs = self.matrix
        return math.ceil(inputs / self.block[0]), math.ceil(outputs / self.block[1])

    @functools.cached_property
    def mask(self) -> np.ndarray:
        """Bool [input blocks, output blocks], True = kept."""
        along, across = self.grid
        bits = np.frombuffer(self.bits, np.uint8)
        return np.unpackbits(bits, count=along * across).astype(bool).reshape(along, across)

    @functools.cached_property
    def columns(self) -> tuple[np.ndarray, ...]:
        """For every output block the kept input blocks, int32, ascending: the order in which values are stored."""
        return tuple(np.flatnonzero(column).astype(np.int32) for column in self.mask.T)

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """Where the values of each output block begin, and at the end how many there are in all, int32."""
        return np.concatenate([[0], np.cumsum(self.mask.sum(axis=0))]).astype(np.int32)

    @property
    def count(self) -> int:
        """The number of kept blocks."""
        return int(self.starts[-1])

    @property
    def density(self) -> float:
        """Kept blocks over all blocks."""
        return self.count / max(self.mask.size, 1)

    @functools.cached_property
    def longest_first(self) -> np.ndarray:
        """Output blocks by falling number of kept input blocks, int32; equals in order.

        Handed out in this order, work of unequal length is spread evenly (Graham, "Bounds on Multiprocessing Timing
        Anomalies", SIAM J. Appl. Math. 1969).
        """
        return np.argsort(-self.mask.sum(axis=0), kind="stable").astype(np.int32)
