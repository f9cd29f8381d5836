"""What matrix products and convolutions cost without some of their channels."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from jaxticket.structure.shrink.channel_marks import ChannelMarks


@dataclasses.dataclass(frozen=True, eq=False)
class ContractionSize:
    """The size of a matrix product or convolution, and with which channels its parts go.

    Attributes:
        size: [batches, rows, columns, terms].
        rows: marks of the rows of each batch, int [B, M], or None.
        columns: the same of the columns, int [B, N].
        terms: the same of the terms of the sums, int [B, K].
        idle: of how many products only one is computed, as the others have zeros between the inputs as a factor.
    """

    size: tuple[int, int, int, int]
    rows: np.ndarray | None
    columns: np.ndarray | None
    terms: np.ndarray | None
    idle: int = 1


def contraction_macs(contractions: Sequence[ContractionSize], marks: ChannelMarks, gone: Collection[int]) -> int:
    """Multiply-accumulates of all contractions without the channels `gone`."""
    goes = marks.lookup(gone)

    def kept(marked: np.ndarray | None, size: int) -> Any:
        return size if marked is None else size - goes[marked].sum(1)

    total = 0
    for found in contractions:
        batches, rows, columns, terms = found.size
        each = kept(found.rows, rows) * kept(found.columns, columns) * kept(found.terms, terms)
        total += int(np.sum(np.broadcast_to(each, batches), dtype=np.int64)) // found.idle
    return total
