"""Dense times block-sparse on an NVIDIA GPU of the Hopper generation: its tiling, and the call of its kernel.

Blocks of 64 inputs are read from `x` as it is. For smaller ones `x` is transposed, so that what is gathered are whole
rows of it, which fill up the 64 inputs of a step without gaps.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxticket.kernels.backends.gpu.kernel import BOX_ROWS, CONSUMERS, DEPTH, GpuTiling, kernel
from jaxticket.kernels.backends.pallas_types import Interpret, Ref, Source
from jaxticket.kernels.backends.work_list import WorkList, work_list
from jaxticket.kernels.formats.structure import BlockStructure

# Of an H100 or H200.
_SMS = 132


def gpu_tiling(structure: BlockStructure, rows: int, matmuls: int = 1) -> GpuTiling:
    """The tiling of some matmuls with so many rows each."""
    tile = 256 if rows > 128 else 128
    group = DEPTH // structure.block[0]
    tiles = -(-rows // tile) * structure.grid[1] * matmuls
    return GpuTiling(tile, 4, group, group > 1, min(_SMS, tiles))


def gpu_matmul(
    x: jax.Array,
    values: jax.Array,
    bias: jax.Array,
    *,
    structure: BlockStructure,
    tiling: GpuTiling | None = None,
    **how: Any,
) -> jax.Array:
    """`x @ weight + bias` by the kernel; the contract is that of `differentiable`.

    Args:
        x: [rows, inputs], bfloat16 or float16.
        values: of the weight, of the dtype of `x`.
        bias: float32 [outputs].
        structure: of the weight; one that `gpu_unsupported` has no reason against.
        tiling: None is `gpu_tiling`.
        **how: `relu`, `dtype` (that of `x` or float32), and `interpret` for simulation, see `launch`.
    """
    rows, inputs = x.shape[0], structure.matrix[0]
    if not rows:
        return jnp.zeros((0, structure.matrix[1]), how["dtype"])
    tiling = tiling or gpu_tiling(structure, rows)
    tiles = -(-rows // tiling.rows)
    x = jnp.pad(x, ((0, tiles * tiling.rows - rows), (0, structure.grid[0] * structure.block[0] - inputs)))
    source = functools.partial(_part, tiling=tiling, height=structure.block[0])
    x = x.T if tiling.transposed else x
    return launch(x, values, bias, source, tiles, structure, tiling, **how)[:rows]


def _part(x: Ref, block: jax.Array, row: jax.Array, *, tiling: GpuTiling, height: int) -> Ref:
    """The inputs of a block for a tile of rows."""
    from jax.experimental import pallas as pl

    inputs, rows = pl.ds(block * height, height), pl.ds(row * tiling.rows, tiling.rows)
    return x.at[inputs, rows] if tiling.transposed else x.at[rows, inputs]


def launch(
    x: jax.Array,
    values: jax.Array,
    bias: jax.Array,
    source: Source,
    tiles: int,
    structure: BlockStructure,
    tiling: GpuTiling,
    *,
    relu: bool,
    dtype: DTypeLike,
    interpret: Interpret = None,
) -> jax.Array:
    """The result of the kernel on whole tiles of rows, [tiles * rows of a tile, outputs].

    `source` gathers the inputs of a block for a tile from `x`; `interpret` is `pallas.mosaic_gpu.InterpretGPUParams`
    for a simulation. The rest is as for `gpu_matmul`.
    """
    from jax.experimental.pallas import mosaic_gpu as plgpu

    across, (height, cols), outputs = structure.grid[1], structure.block, structure.matrix[1]
    steps = work_list(structure, tiling.group, 0)
    bias = jnp.pad(bias, (0, across * cols - outputs))
    weights = steps.packed(values)
    if not steps.steps:  # an array without elements cannot be passed
        weights = jnp.zeros((DEPTH, cols), x.dtype)
    box = (BOX_ROWS, 128 // jnp.dtype(dtype).itemsize)
    stage = (DEPTH, tiling.rows) if tiling.transposed else (tiling.rows, DEPTH)
    call = plgpu.kernel(
        functools.partial(
            kernel, tiling=tiling, source=source, height=height, tiles=tiles, relu=relu, simulated=interpret is not None
        ),
        out_type=jax.ShapeDtypeStruct((tiles * tiling.rows, across * cols), dtype),
        grid=(tiling.sms,),
        grid_names=("sm",),
        num_threads=CONSUMERS + 1,
        thread_name="thread",
        scratch_types=[
            plgpu.SMEM((tiling.stages, *stage), x.dtype, transforms=_swizzled(x.dtype)),
            plgpu.SMEM((tiling.stages, DEPTH, cols), x.dtype, transforms=_swizzled(x.dtype)),
            plgpu.SMEM((CONSUMERS, 2, *box), dtype, transforms=_swizzled(dtype)),
            plgpu.Barrier(num_arrivals=tiling.group + 1, num_barriers=tiling.stages),
            plgpu.Barrier(num_arrivals=CONSUMERS, num_barriers=tiling.stages),
        ],
        compiler_params=plgpu.CompilerParams(lowering_semantics=plgpu.LoweringSemantics.Warpgroup),
        **({} if interpret is None else {"interpret": interpret}),
    )
    return call(x, weights, bias, *[jnp.asarray(table) for table in _tables(steps)])[:, :outputs]


def _swizzled(dtype: DTypeLike) -> tuple[Any, ...]:
    """The layout of a matrix in shared memory: tiles of 8 rows of 128 bytes, swizzled."""
    from jax.experimental.pallas import mosaic_gpu as plgpu

    return plgpu.TilingTransform((8, 128 // jnp.dtype(dtype).itemsize)), plgpu.SwizzleTransform(128)


def _tables(steps: WorkList) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Input blocks of all steps, first step of each output block, output blocks those with most steps first; int32."""
    order = np.argsort(-np.diff(steps.starts), kind="stable").astype(np.int32)
    return steps.inputs if steps.steps else np.zeros(1, np.int32), steps.starts, order
