"""Dense times block-sparse on an NVIDIA GPU of the Hopper generation: how it is cut, and the call of its kernel.

Blocks of 64 inputs are read from `x` as it is. For smaller ones `x` is transposed, so that what is gathered are whole
rows of it, which fill up the 64 inputs of a step without gaps.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.kernels.backends.gpu.kernel import BOX_ROWS, DEPTH, WORKERS, Plan, kernel
from jaxticket.kernels.backends.work_list import WorkList, work_list
from jaxticket.kernels.formats.structure import BlockStructure

_PROCESSORS = 132
"""Of an H100 or H200."""


def why_not(structure: BlockStructure, dtype: Any) -> str | None:
    """Why there is no GPU kernel for a weight; None where there is one."""
    name, (inputs, outputs) = jnp.dtype(dtype).name, structure.block
    if name not in ("bfloat16", "float16"):
        return f"{name} is neither bfloat16 nor float16"
    if inputs not in (16, 32, 64) or outputs not in (64, 128):
        return f"blocks are {inputs}x{outputs}, neither of 16, 32 or 64 inputs nor of 64 or 128 outputs"
    return None


def plan_of(structure: BlockStructure, rows: int, products: int = 1) -> Plan:
    """The cut of some products with so many rows each."""
    tile = 256 if rows > 128 else 128
    group = DEPTH // structure.block[0]
    tiles = -(-rows // tile) * structure.grid[1] * products
    return Plan(tile, 4, group, group > 1, min(_PROCESSORS, tiles))


def product(
    x: jax.Array,
    values: jax.Array,
    bias: jax.Array,
    *,
    structure: BlockStructure,
    relu: bool,
    dtype: Any,
    plan: Plan | None = None,
    interpret: Any = None,
) -> jax.Array:
    """`x @ weight + bias`, perhaps at least zero, by the kernel.

    Args:
        x: [rows, inputs], bfloat16 or float16.
        values: [blocks, inputs of a block, outputs of a block] of the dtype of `x`.
        bias: float32 [outputs].
        structure: of the weight; `why_not` has no objection to it.
        relu: whether negative results become zero.
        dtype: of the result, that of `x` or float32; sums are in float32.
        plan: how it is cut; None is `plan_of`.
        interpret: simulation, `pallas.mosaic_gpu.InterpretGPUParams`, or None.

    Returns:
        [rows, outputs].
    """
    rows, inputs = x.shape[0], structure.matrix[0]
    if not rows:
        return jnp.zeros((0, structure.matrix[1]), dtype)
    plan = plan or plan_of(structure, rows)
    tiles = -(-rows // plan.rows)
    x = jnp.pad(x, ((0, tiles * plan.rows - rows), (0, structure.grid[0] * structure.block[0] - inputs)))
    source = functools.partial(_part, plan=plan, height=structure.block[0])
    x = x.T if plan.turned else x
    return launch(x, values, bias, source, structure, tiles, relu, dtype, plan, interpret)[:rows]


def _part(x: Any, block: Any, row: Any, *, plan: Plan, height: int) -> Any:
    """The inputs of a block for a tile of rows."""
    from jax.experimental import pallas as pl

    inputs, rows = pl.ds(block * height, height), pl.ds(row * plan.rows, plan.rows)
    return x.at[inputs, rows] if plan.turned else x.at[rows, inputs]


def launch(
    x: jax.Array,
    values: jax.Array,
    bias: jax.Array,
    source: Callable[[Any, Any, Any], Any],
    structure: BlockStructure,
    tiles: int,
    relu: bool,
    dtype: Any,
    plan: Plan,
    interpret: Any,
) -> jax.Array:
    """Calls the kernel on whole tiles of rows.

    Args:
        x: what inputs are gathered from.
        values: as for `product`, like `bias`, `structure`, `relu`, `dtype` and `interpret`.
        bias: likewise.
        source: as for `gpu_kernel.kernel`.
        structure: of the weight.
        tiles: of rows.
        relu: whether negative results become zero.
        dtype: of the result.
        plan: how it is cut.
        interpret: simulation, or None.

    Returns:
        [tiles * rows of a tile, outputs].
    """
    from jax.experimental.pallas import mosaic_gpu as plgpu

    across, (height, cols), outputs = structure.grid[1], structure.block, structure.matrix[1]
    steps = work_list(structure, plan.group, 0)
    bias = jnp.pad(bias, (0, across * cols - outputs))
    weights = steps.packed(values)
    if not steps.steps:  # an array without elements cannot be passed
        weights = jnp.zeros((DEPTH, cols), x.dtype)
    box = (BOX_ROWS, 128 // jnp.dtype(dtype).itemsize)
    slot = (DEPTH, plan.rows) if plan.turned else (plan.rows, DEPTH)
    call = plgpu.kernel(
        functools.partial(
            kernel, plan=plan, source=source, height=height, tiles=tiles, relu=relu, simulated=interpret is not None
        ),
        out_type=jax.ShapeDtypeStruct((tiles * plan.rows, across * cols), dtype),
        grid=(plan.processors,),
        grid_names=("processor",),
        num_threads=WORKERS + 1,
        thread_name="thread",
        scratch_types=[
            plgpu.SMEM((plan.slots, *slot), x.dtype, transforms=_swizzled(x.dtype)),
            plgpu.SMEM((plan.slots, DEPTH, cols), x.dtype, transforms=_swizzled(x.dtype)),
            plgpu.SMEM((WORKERS, 2, *box), dtype, transforms=_swizzled(dtype)),
            plgpu.Barrier(num_arrivals=plan.group + 1, num_barriers=plan.slots),
            plgpu.Barrier(num_arrivals=WORKERS, num_barriers=plan.slots),
        ],
        compiler_params=plgpu.CompilerParams(lowering_semantics=plgpu.LoweringSemantics.Warpgroup),
        **({} if interpret is None else {"interpret": interpret}),
    )
    return call(x, weights, bias, *[jnp.asarray(table) for table in _tables(steps)])[:, :outputs]


def _swizzled(dtype: Any) -> tuple[Any, ...]:
    """How a matrix lies in shared memory: tiles of 8 rows of 128 bytes, whose parts are exchanged."""
    from jax.experimental.pallas import mosaic_gpu as plgpu

    return plgpu.TilingTransform((8, 128 // jnp.dtype(dtype).itemsize)), plgpu.SwizzleTransform(128)


def _tables(steps: WorkList) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Input blocks of all steps, first step of each output block, output blocks by falling number of steps; int32."""
    order = np.argsort(-np.diff(steps.starts), kind="stable").astype(np.int32)
    return steps.inputs if steps.steps else np.zeros(1, np.int32), steps.starts, order
