"""Convolutions with block-sparse kernels on an NVIDIA GPU of the Hopper generation: no patches are laid out.

The rows of a tile are the same position of many images. With the images innermost, or their channels, what a block of
the weight reads of a tile is a part of the padded input at the block's position in the window, and the kernel of
`gpu_matmul` gathers that instead of columns of a matrix. Strides and dilation only change the position.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxticket.kernels.backends.gpu import matmul as gpu_matmul
from jaxticket.kernels.backends.gpu.kernel import Plan
from jaxticket.kernels.formats.conv_geometry import Moves
from jaxticket.kernels.formats.structure import BlockStructure

_FEWEST_IMAGES = 64


def why_not(structure: BlockStructure, dtype: Any, images: int) -> str | None:
    """Why there is no GPU kernel for a convolution of so many images; None where there is one."""
    channels, height = structure.shape[2], structure.block[0]
    if channels % height:
        return f"its {channels} input channels are not whole blocks of {height}"
    if images < _FEWEST_IMAGES:
        return f"{images} images are fewer than {_FEWEST_IMAGES}"
    return gpu_matmul.why_not(structure, dtype)


def product(
    x: jax.Array,
    values: jax.Array,
    bias: jax.Array,
    *,
    structure: BlockStructure,
    relu: bool,
    dtype: Any,
    moves: Moves,
    plan: Plan | None = None,
    interpret: Any = None,
) -> jax.Array:
    """`conv(x, weight) + bias`, perhaps at least zero, by the kernel.

    Args:
        x: [images, height, width, inputs], padded, bfloat16 or float16.
        values: [blocks, inputs of a block, outputs of a block] of the dtype of `x`.
        bias: float32 [outputs].
        structure: of the weight [height, width, inputs, outputs]; `why_not` has no objection to it.
        relu: whether negative results become zero.
        dtype: of the result, that of `x` or float32; sums are in float32.
        moves: of the window.
        plan: how it is cut; None is that of a product with as many rows as there are images, for each position.
        interpret: simulation, `pallas.mosaic_gpu.InterpretGPUParams`, or None.

    Returns:
        [images, height', width', outputs].
    """
    images = x.shape[0]
    high, wide = moves.positions(x.shape[1:3], structure.shape[:2])
    plan = plan or gpu_matmul.plan_of(structure, images, high * wide)
    groups = -(-images // plan.rows)
    x = jnp.pad(x, ((0, groups * plan.rows - images), (0, 0), (0, 0), (0, 0)))
    x = x.transpose(1, 2, 3, 0) if plan.turned else x.transpose(1, 2, 0, 3)
    source = functools.partial(_part, plan=plan, structure=structure, moves=moves, wide=wide, groups=groups)
    tiles = high * wide * groups
    result = gpu_matmul.launch(x, values, bias, source, structure, tiles, relu, dtype, plan, interpret)
    return result.reshape(high, wide, groups * plan.rows, -1)[:, :, :images].transpose(2, 0, 1, 3)


def _part(
    x: Any, block: Any, tile: Any, *, plan: Plan, structure: BlockStructure, moves: Moves, wide: int, groups: int
) -> Any:
    """The inputs of a block for a tile: one position of the output, and a group of images."""
    from jax.experimental import pallas as pl

    height, (_, columns, channels, _) = structure.block[0], structure.shape
    position, group = _divided(tile, groups)
    place, channel = _divided(block, channels // height)
    ways = zip(_divided(position, wide), moves.strides, _divided(place, columns), moves.dilation, strict=True)
    down, right = (at * stride + step * far for at, stride, step, far in ways)
    inputs, rows = pl.ds(channel * height, height), pl.ds(group * plan.rows, plan.rows)
    return x.at[down, right, inputs, rows] if plan.turned else x.at[down, right, rows, inputs]


def _divided(value: Any, by: int) -> tuple[Any, Any]:
    """Quotient and remainder of numbers that are not negative."""
    divisor = jnp.int32(by)
    return lax.div(value, divisor), lax.rem(value, divisor)
