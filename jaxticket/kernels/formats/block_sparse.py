"""A weight of which only some blocks are stored."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxticket.core.errors import MaskError
from jaxticket.core.masks import is_traced
from jaxticket.kernels.formats.sparse_weight import Piece
from jaxticket.kernels.formats.structure import BlockStructure


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["structure"])
@dataclasses.dataclass(frozen=True, eq=False)
class BlockSparse:
    """A weight of which only some blocks of the (inputs, outputs) matrix are stored, for `block_matmul`.

    A pytree with one leaf: optimizers, checkpoints and transformations see `values` and nothing else. The structure is
    static, so each one compiles anew.

    Attributes:
        values: [blocks, inputs of a block, outputs of a block], by output block, then by input block. What reaches
            beyond the matrix is never read.
        structure: which blocks they are.

    Example:
        >>> sparse = jt.BlockSparse.from_dense(jnp.eye(6), block=(2, 3))
        >>> sparse.values.shape, sparse.density  # 4 of 6 blocks hold something
        ((4, 2, 3), 0.6666666666666666)
        >>> bool((sparse.to_dense() == jnp.eye(6)).all())
        True
    """

    values: jax.Array
    structure: BlockStructure

    @classmethod
    def from_dense(
        cls, weight: ArrayLike, mask: ArrayLike | None = None, block: tuple[int, int] = (16, 128)
    ) -> "BlockSparse":
        """The blocks of a weight in which the mask keeps anything.

        Args:
            weight: float array [..., outputs] of rank 2 or more; all axes but the last together are the inputs.
            mask: bool array of its shape, True = kept; weights that it does not keep become zero, in kept blocks too.
                None keeps what is not zero.
            block: (inputs, outputs) of a block, cut to the matrix where that is smaller.

        Raises:
            MaskError: a weight that is no float matrix or traced, a mask of another shape, or a block that is empty.
        """
        array, kept = checked_weight(weight, mask)
        inputs, outputs = math.prod(array.shape[:-1]), array.shape[-1]
        check_block(block)
        rows, cols = min(block[0], inputs), min(block[1], outputs)
        along, across = math.ceil(inputs / rows), math.ceil(outputs / cols)
        ragged = ((0, along * rows - inputs), (0, across * cols - outputs))

        def cut(matrix: np.ndarray) -> np.ndarray:
            padded = np.pad(matrix.reshape(inputs, outputs), ragged)
            return padded.reshape(along, rows, across, cols).transpose(2, 0, 1, 3)

        blocks_kept = np.asarray(cut(kept).any(axis=(2, 3)))
        values = cut(np.where(kept, array, np.zeros((), array.dtype)))[blocks_kept]
        return cls(jnp.asarray(values), BlockStructure.of(blocks_kept.T, array.shape, (rows, cols)))

    def to_dense(self) -> jax.Array:
        """The weight as an array of `shape`, zero where nothing is stored."""
        along, across = self.structure.grid
        rows, cols = self.structure.block
        inputs, outputs = self.structure.matrix
        kept = np.nonzero(self.structure.mask.T)
        blocks = jnp.zeros((across, along, rows, cols), self.dtype).at[kept].set(self.values)
        matrix = blocks.transpose(1, 2, 0, 3).reshape(along * rows, across * cols)
        return matrix[:inputs, :outputs].reshape(self.shape)

    def scaled(self, factor: np.ndarray) -> "BlockSparse":
        """The weight with each output times its factor, float64 [outputs]; rounded once."""
        across, cols = self.structure.grid[1], self.structure.block[1]
        factors = np.pad(factor, (0, across * cols - len(factor))).reshape(across, 1, cols)
        each = np.repeat(factors, np.diff(self.structure.starts), axis=0)
        return BlockSparse(jnp.asarray(np.asarray(self.values, np.float64) * each, self.dtype), self.structure)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weight."""
        return self.structure.shape

    @property
    def dtype(self) -> np.dtype:
        """Of the values."""
        return self.values.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return self.values.size * self.values.dtype.itemsize

    @property
    def density(self) -> float:
        """Kept blocks over all blocks."""
        return self.structure.density

    @property
    def unit(self) -> int:
        """How many inputs one index of a piece stands for."""
        return self.structure.block[0]

    @property
    def output_order(self) -> None:
        """The pieces are in the order of the outputs."""
        return

    def pieces(self) -> list[Piece]:
        """Output blocks as dense matmuls; those next to each other with equal inputs are one."""
        rows, cols = self.structure.block
        outputs, columns = self.structure.matrix[1], self.structure.columns
        found: list[Piece] = []
        first = 0
        while first < len(columns):
            last = first + 1
            while last < len(columns) and np.array_equal(columns[first], columns[last]):
                last += 1
            height, width = len(columns[first]) * rows, (last - first) * cols
            values = self.values[self.structure.starts[first] : self.structure.starts[last]]
            values = values.reshape(last - first, height, cols)
            weight = values[0] if last - first == 1 else values.transpose(1, 0, 2).reshape(height, width)
            found.append(Piece(columns[first], weight[:, : outputs - first * cols]))
            first = last
        return found


def check_block(block: object) -> None:
    """Makes sure that `block` is the size of a block, or raises `MaskError`."""
    sizes = block if isinstance(block, tuple | list) else ()
    if len(sizes) != 2 or not all(
        isinstance(size, int | np.integer) and not isinstance(size, bool) and size >= 1 for size in sizes
    ):
        raise MaskError(f"block={block!r}: must be two positive numbers, (inputs, outputs), such as (16, 128)")


def checked_weight(weight: ArrayLike, mask: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    """A weight and which of it is kept, on the host.

    Raises:
        MaskError: as for `BlockSparse.from_dense`.
    """
    if is_traced((weight, mask)):
        raise MaskError("the weight or the mask is traced, but blocks are static; make them outside of jit")
    array = np.asarray(weight)
    if array.ndim < 2 or 0 in array.shape or not jnp.issubdtype(array.dtype, jnp.floating):
        raise MaskError(
            f"a weight of {array.dtype}{list(array.shape)} has no blocks; give a float array [..., outputs]"
        )
    kept = array != 0 if mask is None else np.asarray(mask)
    if kept.shape != array.shape or kept.dtype != bool:
        raise MaskError(
            f"the mask is {kept.dtype}{list(kept.shape)}, the weight has shape {list(array.shape)}; "
            "give a bool array of the weight's shape"
        )
    return array, kept
