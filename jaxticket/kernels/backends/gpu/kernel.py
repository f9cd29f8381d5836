"""The warp-specialised kernel of `gpu_matmul` and `gpu_conv`.

One producer warpgroup prefetches: for each step some blocks of the weight, 64 inputs deep in all, and the inputs of a
tile of rows that belong to them, gathered by their indices. Two consumer warpgroups multiply, half of the rows each.
Steps go through a ring of stages in shared memory, each with two barriers: one says that it is loaded, one that both
consumers have used it. The kernel is persistent: every streaming multiprocessor takes one tile of the result after the
other, those with most blocks first.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxticket.kernels.backends.gpu.compat import load_with_layout, transpose_ref
from jaxticket.kernels.backends.pallas_types import Ref, Source

DEPTH = 64
"""Inputs of a step: 128 bytes, the width at which shared memory is read without bank conflicts."""
CONSUMERS = 2
"""Consumer warpgroups; one more is the producer."""
BOX_ROWS = 64
"""Rows of a part of the result that is written at once."""
# Registers of a thread of the producer, and of a consumer; a multiprocessor has 65536.
_FEW, _MANY = 40, 232


class GpuTiling(NamedTuple):
    """How a matmul is cut into tiles.

    Attributes:
        rows: of a tile of the result, for all consumers.
        stages: steps that shared memory holds.
        group: blocks of a step.
        transposed: whether what is gathered has the inputs as its rows.
        sms: streaming multiprocessors among which tiles are dealt out.
    """

    rows: int
    stages: int
    group: int
    transposed: bool
    sms: int


def kernel(
    x: Ref,
    weights: Ref,
    bias: Ref,
    inputs: Ref,
    starts: Ref,
    order: Ref,
    result: Ref,
    x_stages: Ref,
    weight_stages: Ref,
    boxes: Ref,
    loaded: Ref,
    consumed: Ref,
    *,
    tiling: GpuTiling,
    source: Source,
    height: int,
    tiles: int,
    relu: bool,
    simulated: bool,
) -> None:
    """What each warpgroup does.

    Args:
        x: the array that inputs are gathered from.
        weights: the blocks of all steps, stacked along their inputs.
        bias: of all outputs.
        inputs: the input block of each block of a step.
        starts: the first step of each output block, and the number of steps.
        order: output blocks, those with most steps first.
        result: [tiles * rows, outputs].
        x_stages: shared memory for inputs.
        weight_stages: shared memory for blocks.
        boxes: shared memory for parts of the result.
        loaded: barriers that the producer arrives at, one for each stage.
        consumed: barriers that the consumers arrive at, one for each stage.
        tiling: how the matmul is cut.
        source: (x, input block, tile of rows) -> the part of `x` that belongs to both.
        height: inputs of a block.
        tiles: of rows.
        relu: whether ReLU is applied.
        simulated: whether this is a simulation, which knows no layouts.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import mosaic_gpu as plgpu

    thread = lax.axis_index("thread")
    cols, share = weight_stages.shape[2], tiling.rows // CONSUMERS

    def over_tiles(body: Callable[..., None]) -> Any:
        """Calls body(output block, tile of rows, first step, steps, steps so far) for each tile of this processor."""

        @plgpu.nd_loop((order.shape[0] * tiles,), collective_axes="sm", init_carry=jnp.int32(0))
        def total(info: Any, carry: jax.Array) -> jax.Array:
            output, row = order[lax.div(info.index[0], jnp.int32(tiles))], lax.rem(info.index[0], jnp.int32(tiles))
            first = starts[output]
            steps = starts[output + 1] - first
            body(output, row, first, steps, carry)
            return carry + steps

        return total

    def stage_of(number: jax.Array) -> Any:
        return lax.rem(number, jnp.int32(tiling.stages))

    @pl.when(thread == CONSUMERS)
    def _() -> None:
        plgpu.set_max_registers(_FEW, action="decrease")

        def produce(output: jax.Array, row: jax.Array, first: jax.Array, steps: jax.Array, before: jax.Array) -> None:
            def step(number: jax.Array, _: None) -> None:
                stage, at = stage_of(before + number), first + number

                @pl.when(before + number >= tiling.stages)
                def _() -> None:
                    plgpu.barrier_wait(consumed.at[stage])

                blocks = weights.at[pl.ds(at * DEPTH, DEPTH)]
                plgpu.copy_gmem_to_smem(blocks, weight_stages.at[stage], loaded.at[stage])
                for block in range(tiling.group):
                    part = source(x, inputs[at * tiling.group + block], row)
                    target = x_stages.at[stage]
                    if tiling.transposed:
                        target = x_stages.at[stage, pl.ds(block * height, height)]
                    plgpu.copy_gmem_to_smem(part, target, loaded.at[stage])

            lax.fori_loop(0, steps, step, None)

        total = over_tiles(produce)
        for number in range(tiling.stages):  # every phase of a barrier has to be waited for before the kernel ends

            @pl.when(total > number)
            def _(number: int = number) -> None:
                plgpu.barrier_wait(consumed.at[stage_of(jnp.maximum(total - tiling.stages, 0) + number)])

    @pl.when(thread < CONSUMERS)
    def _() -> None:
        plgpu.set_max_registers(_MANY, action="increase")

        def consume(output: jax.Array, row: jax.Array, first: jax.Array, steps: jax.Array, before: jax.Array) -> None:
            def add_up(total: Ref) -> Any:
                def step(number: jax.Array, _: None) -> None:
                    stage = stage_of(before + number)
                    plgpu.barrier_wait(loaded.at[stage])
                    if tiling.transposed:
                        taken = transpose_ref(x_stages.at[stage, :, pl.ds(thread * share, share)])
                    else:
                        taken = x_stages.at[stage, pl.ds(thread * share, share)]
                    plgpu.wgmma(total, taken, weight_stages.at[stage])
                    plgpu.wgmma_wait(1)  # all but this matmul are done, so that the stage before is free

                    @pl.when(number > 0)
                    def _() -> None:
                        plgpu.barrier_arrive(consumed.at[stage_of(before + number - 1)])

                lax.fori_loop(0, steps, step, None)
                plgpu.wgmma_wait(0)

                @pl.when(steps > 0)
                def _() -> None:
                    plgpu.barrier_arrive(consumed.at[stage_of(before + steps - 1)])

                return total[...]

            found = pl.run_scoped(add_up, plgpu.WGMMAAccumulatorRef((share, cols), jnp.float32))
            part = bias.at[pl.ds(output * cols, cols)]
            shift = part[...] if simulated else load_with_layout(part, plgpu.Layout.WGMMA.reduce(0))
            found = found + lax.broadcast_in_dim(shift, found.shape, (1,))
            found = (jnp.maximum(found, 0.0) if relu else found).astype(result.dtype)
            top, left = row * tiling.rows + thread * share, output * cols
            high, wide = boxes.shape[2:]
            corners = [(down, right) for down in range(0, share, high) for right in range(0, cols, wide)]
            for number, (down, right) in enumerate(corners):
                box = boxes.at[thread, number % 2]
                # The box may still be on its way: the one before last, or where there is but one, the last.
                plgpu.wait_smem_to_gmem(min(1, len(corners) - 1), wait_read_only=True)
                box[...] = found[down : down + high, right : right + wide]
                plgpu.commit_smem()
                plgpu.copy_smem_to_gmem(box, result.at[pl.ds(top + down, high), pl.ds(left + right, wide)])

        over_tiles(consume)
        plgpu.wait_smem_to_gmem(0, wait_read_only=True)
