"""A weight whose outputs form groups that read the same inputs, such as a regrouped ticket's."""

import dataclasses
import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxticket.core.errors import MaskError
from jaxticket.kernels.formats.block_sparse import checked_weight
from jaxticket.kernels.formats.sparse_weight import Piece


@dataclasses.dataclass(frozen=True)
class GroupStructure:
    """Which inputs each group of outputs reads: static and hashable.

    Attributes:
        shape: of the weight, rank 2 or more.
        groups: (inputs, outputs) of each group, as the bytes of ascending int32 arrays.
    """

    shape: tuple[int, ...]
    groups: tuple[tuple[bytes, bytes], ...]

    @functools.cached_property
    def indices(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """(inputs, outputs) of each group, int32."""
        return tuple((np.frombuffer(a, np.int32), np.frombuffer(b, np.int32)) for a, b in self.groups)


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["structure"])
@dataclasses.dataclass(frozen=True, eq=False)
class DenseGroups:
    """A weight stored as one dense matrix for each group of outputs that read the same inputs, for `block_matmul`.

    Inputs and outputs of a group may lie anywhere: they are gathered. Tickets from `jaxticket.regroup` have few such
    groups, a layer with whole input or output channels masked has one, and an unstructured mask has as many as outputs,
    which is no gain.

    Attributes:
        values: one [inputs, outputs] array for each group.
        structure: which inputs and outputs they are.

    Example:
        >>> weight = jnp.zeros((4, 4)).at[::2, ::2].set(1.0).at[1::2, 1::2].set(2.0)
        >>> groups = jt.DenseGroups.from_dense(weight)
        >>> [values.shape for values in groups.values], groups.density  # even outputs read even inputs
        ([(2, 2), (2, 2)], 0.5)
    """

    values: tuple[jax.Array, ...]
    structure: GroupStructure

    @classmethod
    def from_dense(cls, weight: ArrayLike, mask: ArrayLike | None = None, *, most: int | None = None) -> "DenseGroups":
        """The groups of outputs whose masks are equal, of which outputs without any weight are left out.

        Args:
            weight: float array [..., outputs] of rank 2 or more.
            mask: bool array of its shape, True = kept. None keeps what is not zero.
            most: the largest number of groups that is worth it; None is any number.

        Raises:
            MaskError: a weight or mask as `BlockSparse.from_dense` refuses it, or more than `most` groups.
        """
        array, kept = checked_weight(weight, mask)
        columns = np.packbits(kept.reshape(-1, kept.shape[-1]), axis=0)
        patterns, number = np.unique(columns, axis=1, return_inverse=True)
        if most is not None and patterns.shape[1] > most + 1:
            raise MaskError(f"the outputs have {patterns.shape[1]} different masks; at most {most} were asked for")
        matrix, kept = array.reshape(-1, array.shape[-1]), kept.reshape(-1, kept.shape[-1])
        values, groups = [], []
        for pattern in range(patterns.shape[1]):
            outputs = np.flatnonzero(number.ravel() == pattern).astype(np.int32)
            inputs = np.flatnonzero(kept[:, outputs[0]]).astype(np.int32)
            if len(inputs):
                values.append(jnp.asarray(matrix[np.ix_(inputs, outputs)]))
                groups.append((inputs.tobytes(), outputs.tobytes()))
        if not values:  # a weight of zeros: one group that reads nothing, so that it has a dtype
            values, groups = [jnp.zeros((0, 1), array.dtype)], [(b"", np.zeros(1, np.int32).tobytes())]
        return cls(tuple(values), GroupStructure(array.shape, tuple(groups)))

    def to_dense(self) -> jax.Array:
        """The weight as an array of `shape`, zero where nothing is stored."""
        matrix = jnp.zeros((math.prod(self.shape[:-1]), self.shape[-1]), self.dtype)
        for (inputs, outputs), values in zip(self.structure.indices, self.values, strict=True):
            matrix = matrix.at[np.ix_(inputs, outputs)].set(values)
        return matrix.reshape(self.shape)

    def scaled(self, factor: np.ndarray) -> "DenseGroups":
        """The weight with each output times its factor, float64 [outputs]; rounded once."""
        pairs = zip(self.structure.indices, self.values, strict=True)
        values = [np.asarray(values, np.float64) * factor[outputs] for (_, outputs), values in pairs]
        return DenseGroups(tuple(jnp.asarray(one, self.dtype) for one in values), self.structure)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weight."""
        return self.structure.shape

    @property
    def dtype(self) -> np.dtype:
        """Of the values."""
        return self.values[0].dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return sum(values.size * values.dtype.itemsize for values in self.values)

    @property
    def density(self) -> float:
        """Stored weights over all weights."""
        return sum(values.size for values in self.values) / math.prod(self.shape)

    @property
    def unit(self) -> int:
        """An index of a piece stands for one input."""
        return 1

    @property
    def output_order(self) -> np.ndarray:
        """For every output its position among those of all pieces; those that are zero lie behind them."""
        stored = np.concatenate([outputs for _, outputs in self.structure.indices])
        order = np.full(self.shape[-1], len(stored), np.int32)
        order[stored] = np.arange(len(stored), dtype=np.int32)
        return order

    def pieces(self) -> Sequence[Piece]:
        """One dense matmul for each group."""
        return [Piece(inputs, values) for (inputs, _), values in zip(self.structure.indices, self.values, strict=True)]
