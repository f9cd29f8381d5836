"""Dense times block-sparse on a TPU: the inputs of some rows stay in fast memory, the blocks of the weight stream by.

Every step adds the products of several blocks, whose inputs are put together to contractions of 128 or more, the depth
of the matrix unit. For blocks that are less than 128 inputs deep `x` is transposed first, for only along the first axis
short slices are aligned.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from jaxticket.kernels.backends.pallas_types import Interpret, Ref
from jaxticket.kernels.backends.work_list import WorkList, work_list
from jaxticket.kernels.formats.block_sparse import BlockSparse
from jaxticket.kernels.formats.sparse_weight import SparseWeight
from jaxticket.kernels.formats.structure import BlockStructure

_LANES = 128
# Bytes of fast memory that the tiles may take, each twice for the next one to load; the compiler's own limit is 16 MiB.
_MEMORY = 12 << 20
_TILE_ROWS = (512, 256, 128)
# What a step may be filled up with blocks of zeros, relative to the blocks that there are.
_MOST_PADDING = 1.25
_FIRST, _FILLED, _LAST = 1, 2, 4
# Tiles of rows are independent of each other, steps are not: they add up.
_SEMANTICS = ("parallel", "arbitrary")


class TpuTiling(NamedTuple):
    """How a matmul is cut into tiles.

    Attributes:
        rows: of a tile of `x`.
        group: blocks of a step.
        joined: blocks of one contraction.
        transposed: whether `x` is transposed.
    """

    rows: int
    group: int
    joined: int
    transposed: bool


def tpu_unsupported(weight: SparseWeight, dtype: DTypeLike, images: int | None = None) -> str | None:
    """Why the kernel cannot take a weight, or None; `images` of a convolution, None for a matmul."""
    if not isinstance(weight, BlockSparse):
        return "groups are dense products, which XLA does"
    if images is not None:
        return "there is none for convolutions on tpu"
    structure = weight.structure
    name, (inputs, outputs) = jnp.dtype(dtype).name, structure.block
    if name not in ("float32", "bfloat16"):
        return f"{name} is neither float32 nor bfloat16"
    if outputs % _LANES:
        return f"blocks are {outputs} outputs wide, which is no multiple of {_LANES}"
    if inputs % _tile_inputs(dtype):
        return f"blocks are {inputs} inputs deep, which is no multiple of {_tile_inputs(dtype)} in {name}"
    if tpu_tiling(structure, dtype, 1) is None:
        return f"{structure.matrix[0]} inputs of {_TILE_ROWS[-1]} rows do not fit into the fast memory"
    return None


def tpu_tiling(structure: BlockStructure, dtype: DTypeLike, rows: int) -> TpuTiling | None:
    """The tiling of a matmul: steps as deep as they can be with few zeros, tiles as high as the fast memory holds.

    Args:
        structure: of the weight.
        dtype: of the inputs and the weight.
        rows: of `x`; a tile is not higher than that, but for the smallest.

    Returns:
        None where not even the smallest tile fits.
    """
    rows_of_block, cols = structure.block
    joined = max(1, _LANES // rows_of_block)
    most = _MOST_PADDING * max(structure.count, 1)
    groups = [joined * times for times in (4, 2, 1)]
    padded = [group * work_list(structure, group, 0).steps for group in groups]
    group = next((group for group, blocks in zip(groups, padded, strict=True) if blocks <= most), joined)
    size, inputs = jnp.dtype(dtype).itemsize, structure.grid[0] * rows_of_block
    for tile in _TILE_ROWS:
        # Twice x, the weights and the result, which may be float32, once the sum.
        fits = 2 * size * (tile * inputs + group * rows_of_block * cols) + 3 * 4 * tile * cols <= _MEMORY
        if fits and (tile < 2 * rows or tile == _TILE_ROWS[-1]):
            return TpuTiling(tile, group, joined, bool(rows_of_block % _LANES))
    return None


def tpu_matmul(
    x: jax.Array,
    values: jax.Array,
    bias: jax.Array,
    *,
    structure: BlockStructure,
    relu: bool,
    dtype: DTypeLike,
    interpret: Interpret = False,
) -> jax.Array:
    """`x @ weight + bias` by the kernel; the contract is that of `differentiable`.

    `x` is float32 or bfloat16, `structure` one that `tpu_unsupported` has no reason against, and `interpret` is
    `pallas.tpu.InterpretParams` for a simulation.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import tpu as pltpu

    rows, inputs, outputs = x.shape[0], *structure.matrix
    tiling = tpu_tiling(structure, x.dtype, rows)
    assert tiling is not None
    if not rows:
        return jnp.zeros((0, outputs), dtype)
    along, across = structure.grid
    height, cols = structure.block
    steps = work_list(structure, tiling.group, 1)
    tiles = -(-rows // tiling.rows)
    x = jnp.pad(x, ((0, tiles * tiling.rows - rows), (0, along * height - inputs)))
    bias = jnp.pad(bias, (0, across * cols - outputs))[None]
    if tiling.transposed:
        x, tile, at = x.T, (along * height, tiling.rows), lambda row, step, *_: (0, row)
    else:
        tile, at = (tiling.rows, along * height), lambda row, step, *_: (row, 0)
    result = pl.pallas_call(
        functools.partial(_kernel, tiling=tiling, height=height, relu=relu),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=3,
            grid=(tiles, steps.steps),
            in_specs=[
                pl.BlockSpec(tile, at),
                pl.BlockSpec((tiling.group * height, cols), lambda row, step, *_: (step, 0)),
                pl.BlockSpec((1, cols), lambda row, step, inputs, outputs, flags: (0, outputs[step])),
            ],
            out_specs=pl.BlockSpec((tiling.rows, cols), lambda row, step, inputs, outputs, flags: (row, outputs[step])),
            scratch_shapes=[pltpu.VMEM((tiling.rows, cols), jnp.float32)],
        ),
        out_shape=jax.ShapeDtypeStruct((tiles * tiling.rows, across * cols), dtype),
        compiler_params=pltpu.CompilerParams(dimension_semantics=_SEMANTICS),
        interpret=interpret,
        name="block_sparse_matmul",
    )(jnp.asarray(steps.inputs), jnp.asarray(steps.outputs), jnp.asarray(_flags(steps)), x, steps.packed(values), bias)
    return result[:rows, :outputs]


def _flags(steps: WorkList) -> np.ndarray:
    """Which steps begin a sum, add to it and write it, as bits; int32 [steps]."""
    flags = np.where(steps.filled, _FILLED, 0)[steps.outputs]
    flags[steps.starts[:-1]] |= _FIRST
    flags[steps.starts[1:] - 1] |= _LAST
    return flags.astype(np.int32)


def _kernel(
    inputs: Ref,
    outputs: Ref,
    flags: Ref,
    x: Ref,
    weights: Ref,
    bias: Ref,
    result: Ref,
    total: Ref,
    *,
    tiling: TpuTiling,
    height: int,
    relu: bool,
) -> None:
    """One step of one tile of rows; the first three are the work list, in scalar memory."""
    from jax.experimental import pallas as pl

    del outputs  # decides which bias comes and where the result goes
    step = pl.program_id(1)
    flag = flags[step]

    @pl.when(flag & _FIRST != 0)
    def _() -> None:
        total[...] = jnp.broadcast_to(bias[...], total.shape)

    @pl.when(flag & _FILLED != 0)
    def _() -> None:
        added = total[...]
        for first in range(0, tiling.group, tiling.joined):
            begins = [
                pl.multiple_of(inputs[step * tiling.group + block] * height, height)
                for block in range(first, first + tiling.joined)
            ]
            if tiling.transposed:
                taken = jnp.concatenate([x[pl.ds(begin, height), :] for begin in begins], axis=0)
            else:
                taken = jnp.concatenate([x[:, pl.ds(begin, height)] for begin in begins], axis=1)
            depth = tiling.joined * height
            weight = weights[first * height : first * height + depth, :]
            axes = ((0 if tiling.transposed else 1,), (0,))
            added += lax.dot_general(taken, weight, (axes, ((), ())), preferred_element_type=jnp.float32)
        total[...] = added

    @pl.when(flag & _LAST != 0)
    def _() -> None:
        found = total[...]
        result[...] = (jnp.maximum(found, 0) if relu else found).astype(result.dtype)


def _tile_inputs(dtype: DTypeLike) -> int:
    """Inputs to which a slice of the transposed `x` must be aligned: those of a register."""
    return 32 // jnp.dtype(dtype).itemsize
