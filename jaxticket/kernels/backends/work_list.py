"""The blocks of a weight in steps of equally many: what a kernel for a device goes through."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.kernels.formats.structure import BlockStructure


@dataclasses.dataclass(frozen=True, eq=False)
class WorkList:
    """Steps of `group` blocks each, by output block; where an output block has too few, blocks of zeros fill them up.

    Attributes:
        inputs: int32 [steps * group], the input block of each; that of a block of zeros is one that its output block
            reads anyway, so that an input that is not finite spreads no further than it does without.
        positions: int32 [steps * group], the index of each among the values; one past the last for a block of zeros.
        starts: int32 [output blocks + 1], the first step of each output block, and the number of steps.
        filled: bool [output blocks], whether the output block has any block at all.
    """

    inputs: np.ndarray
    positions: np.ndarray
    starts: np.ndarray
    filled: np.ndarray

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return int(self.starts[-1])

    @property
    def outputs(self) -> np.ndarray:
        """The output block of each step, int32 [steps]."""
        return np.repeat(np.arange(len(self.filled), dtype=np.int32), np.diff(self.starts))

    def packed(self, values: jax.Array) -> jax.Array:
        """The blocks in the order of the steps.

        Args:
            values: [blocks, inputs of a block, outputs of a block], those of a `BlockSparse`.

        Returns:
            [steps * group * inputs of a block, outputs of a block].
        """
        count, rows, cols = values.shape
        if not count:
            return jnp.zeros((len(self.positions) * rows, cols), values.dtype)
        if not np.array_equal(self.positions, np.arange(count)):
            values = jnp.take(values, self.positions, axis=0, mode="fill", fill_value=0)
        return values.reshape(len(self.positions) * rows, cols)


@functools.lru_cache(maxsize=256)
def work_list(structure: BlockStructure, group: int, least: int) -> WorkList:
    """The steps of a structure.

    Args:
        structure: of the weight.
        group: blocks of a step.
        least: steps of an output block that has no block.
    """
    inputs, positions, steps = [], [], []
    for column, kept in enumerate(structure.columns):
        steps.append(max(least, -(-len(kept) // group)))
        missing = steps[-1] * group - len(kept)
        start = int(structure.starts[column])
        inputs += [*kept, *[kept[-1] if len(kept) else 0] * missing]
        positions += [*range(start, start + len(kept)), *[structure.count] * missing]
    return WorkList(
        np.asarray(inputs, np.int32),
        np.asarray(positions, np.int32),
        np.concatenate([[0], np.cumsum(steps)]).astype(np.int32),
        np.asarray([len(kept) > 0 for kept in structure.columns]),
    )
