"""The kernel of `gpu_matmul`: what each group of threads does.

One group loads ahead: for each step some blocks of the weight, 64 inputs deep in all, and the inputs of a tile of rows
that belong to them, gathered by their indices. Two others multiply, half of the rows each. Steps go round in a few
slots of shared memory, each with two barriers: one says that it is loaded, one that it has been used by both. Every
processor takes one tile of the result after the other, those with most blocks first.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from jaxticket.kernels.backends.gpu.compat import load, transposed

DEPTH = 64
"""Inputs of a step: 128 bytes, the width at which shared memory is read without conflicts."""
WORKERS = 2
"""Groups of threads that multiply; one more loads."""
BOX_ROWS = 64
"""Rows of a part of the result that is written at once."""
# Registers of a thread that loads, and of one that multiplies; a processor has 65536.
_FEW, _MANY = 40, 232


class Plan(NamedTuple):
    """How a product is cut.

    Attributes:
        rows: of a tile of the result, for all workers.
        slots: steps that shared memory holds.
        group: blocks of a step.
        turned: whether what is gathered has the inputs as its rows.
        processors: among which tiles are dealt out.
    """

    rows: int
    slots: int
    group: int
    turned: bool
    processors: int


def kernel(
    x: Any,
    weights: Any,
    bias: Any,
    inputs: Any,
    starts: Any,
    order: Any,
    result: Any,
    x_slots: Any,
    weight_slots: Any,
    boxes: Any,
    ready: Any,
    consumed: Any,
    *,
    plan: Plan,
    source: Callable[[Any, Any, Any], Any],
    height: int,
    tiles: int,
    relu: bool,
    simulated: bool,
) -> None:
    """What each group of threads does.

    Args:
        x: the array that inputs are gathered from.
        weights: the blocks of all steps, one under the other.
        bias: of all outputs.
        inputs: the input block of each block of a step.
        starts: the first step of each output block, and the number of steps.
        order: output blocks, those with most steps first.
        result: [tiles * rows, outputs].
        x_slots: shared memory for inputs.
        weight_slots: and for blocks.
        boxes: and for parts of the result.
        ready: barriers of the slots: it is loaded.
        consumed: likewise: it has been used.
        plan: how the product is cut.
        source: (x, input block, tile of rows) -> the part of `x` that belongs to both.
        height: inputs of a block.
        tiles: of rows.
        relu: whether negative results become zero.
        simulated: whether this is a simulation, which knows no layouts.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import mosaic_gpu as plgpu

    thread = lax.axis_index("thread")
    cols, share = weight_slots.shape[2], plan.rows // WORKERS

    def over_tiles(body: Any) -> Any:
        """Calls body(output block, tile of rows, first step, steps, steps so far) for each tile of this processor."""

        @plgpu.nd_loop((order.shape[0] * tiles,), collective_axes="processor", init_carry=jnp.int32(0))
        def total(info: Any, carry: Any) -> Any:
            output, row = order[lax.div(info.index[0], jnp.int32(tiles))], lax.rem(info.index[0], jnp.int32(tiles))
            first = starts[output]
            steps = starts[output + 1] - first
            body(output, row, first, steps, carry)
            return carry + steps

        return total

    def slot_of(number: Any) -> Any:
        return lax.rem(number, jnp.int32(plan.slots))

    @pl.when(thread == WORKERS)
    def _() -> None:
        plgpu.set_max_registers(_FEW, action="decrease")

        def fill(output: Any, row: Any, first: Any, steps: Any, before: Any) -> None:
            def step(number: Any, _: None) -> None:
                slot, at = slot_of(before + number), first + number

                @pl.when(before + number >= plan.slots)
                def _() -> None:
                    plgpu.barrier_wait(consumed.at[slot])

                place = weights.at[pl.ds(at * DEPTH, DEPTH)]
                plgpu.copy_gmem_to_smem(place, weight_slots.at[slot], ready.at[slot])
                for block in range(plan.group):
                    place = source(x, inputs[at * plan.group + block], row)
                    part = x_slots.at[slot, pl.ds(block * height, height)] if plan.turned else x_slots.at[slot]
                    plgpu.copy_gmem_to_smem(place, part, ready.at[slot])

            lax.fori_loop(0, steps, step, None)

        total = over_tiles(fill)
        for number in range(plan.slots):  # every phase of a barrier has to be waited for before the kernel ends

            @pl.when(total > number)
            def _(number: int = number) -> None:
                plgpu.barrier_wait(consumed.at[slot_of(jnp.maximum(total - plan.slots, 0) + number)])

    @pl.when(thread < WORKERS)
    def _() -> None:
        plgpu.set_max_registers(_MANY, action="increase")

        def multiply(output: Any, row: Any, first: Any, steps: Any, before: Any) -> None:
            def add_up(total: Any) -> Any:
                def step(number: Any, _: None) -> None:
                    slot = slot_of(before + number)
                    plgpu.barrier_wait(ready.at[slot])
                    if plan.turned:
                        taken = transposed(x_slots.at[slot, :, pl.ds(thread * share, share)])
                    else:
                        taken = x_slots.at[slot, pl.ds(thread * share, share)]
                    plgpu.wgmma(total, taken, weight_slots.at[slot])
                    plgpu.wgmma_wait(1)  # all but this product are done, so that the slot before is free

                    @pl.when(number > 0)
                    def _() -> None:
                        plgpu.barrier_arrive(consumed.at[slot_of(before + number - 1)])

                lax.fori_loop(0, steps, step, None)
                plgpu.wgmma_wait(0)

                @pl.when(steps > 0)
                def _() -> None:
                    plgpu.barrier_arrive(consumed.at[slot_of(before + steps - 1)])

                return total[...]

            found = pl.run_scoped(add_up, plgpu.WGMMAAccumulatorRef((share, cols), jnp.float32))
            part = bias.at[pl.ds(output * cols, cols)]
            shift = part[...] if simulated else load(part, plgpu.Layout.WGMMA.reduce(0))
            found = found + lax.broadcast_in_dim(shift, found.shape, (1,))
            found = (jnp.maximum(found, 0.0) if relu else found).astype(result.dtype)
            top, left = row * plan.rows + thread * share, output * cols
            high, wide = boxes.shape[2:]
            places = [(down, right) for down in range(0, share, high) for right in range(0, cols, wide)]
            for number, (down, right) in enumerate(places):
                box = boxes.at[thread, number % 2]
                # The box may still be on its way: the one before last, or where there is but one, the last.
                plgpu.wait_smem_to_gmem(min(1, len(places) - 1), wait_read_only=True)
                box[...] = found[down : down + high, right : right + wide]
                plgpu.commit_smem()
                plgpu.copy_smem_to_gmem(box, result.at[pl.ds(top + down, high), pl.ds(left + right, wide)])

        over_tiles(multiply)
        plgpu.wait_smem_to_gmem(0, wait_read_only=True)
