"""The protocol of sparse formats: a set of dense matmuls, each on a subset of the inputs."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self, runtime_checkable

import jax
import numpy as np


class Piece(NamedTuple):
    """One dense matmul.

    Attributes:
        inputs: int32, which of the inputs it takes, counted in units of the weight's `unit`; perhaps none.
        weight: [len(inputs) * unit, outputs of the piece].
    """

    inputs: np.ndarray
    weight: jax.Array


@runtime_checkable
class SparseWeight(Protocol):
    """A weight [..., outputs] that is stored as pieces; all axes but the last together are the inputs."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the dense weight."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Of the stored values."""
        ...

    @property
    def nbytes(self) -> int:
        """Of the stored values."""
        ...

    @property
    def unit(self) -> int:
        """How many inputs one index of a piece stands for."""
        ...

    @property
    def output_order(self) -> np.ndarray | None:
        """For every output its position among the outputs of all pieces, behind them all if it is zero, int32.

        None where the pieces are in order and give all outputs.
        """
        ...

    def pieces(self) -> Sequence[Piece]:
        """The dense matmuls; each output is in one piece at most."""
        ...

    def scaled(self, factor: np.ndarray) -> Self:
        """The weight with each output times its factor, float64 [outputs]; rounded once."""
        ...

    def to_dense(self) -> jax.Array:
        """The weight with its zeros, an array of `shape`."""
        ...
