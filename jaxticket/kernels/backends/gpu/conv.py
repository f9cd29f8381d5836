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

from jaxticket.kernels.backends.gpu.kernel import GpuTiling
from jaxticket.kernels.backends.gpu.matmul import gpu_tiling, launch
from jaxticket.kernels.backends.pallas_types import Ref
from jaxticket.kernels.formats.conv_geometry import ConvGeometry
from jaxticket.kernels.formats.structure import BlockStructure


def gpu_conv(
    x: jax.Array,
    values: jax.Array,
    bias: jax.Array,
    *,
    structure: BlockStructure,
    geometry: ConvGeometry,
    tiling: GpuTiling | None = None,
    **how: Any,
) -> jax.Array:
    """`conv(x, weight) + bias` by the kernel; the contract is that of `differentiable`, and `how` that of `gpu_matmul`.

    `x` is [images, height, width, inputs], padded, bfloat16 or float16; without a `tiling` it is that of a matmul with
    as many rows as there are images, for each position.
    """
    images = x.shape[0]
    high, wide = geometry.positions(x.shape[1:3], structure.shape[:2])
    tiling = tiling or gpu_tiling(structure, images, high * wide)
    groups = -(-images // tiling.rows)
    x = jnp.pad(x, ((0, groups * tiling.rows - images), (0, 0), (0, 0), (0, 0)))
    x = x.transpose(1, 2, 3, 0) if tiling.transposed else x.transpose(1, 2, 0, 3)
    source = functools.partial(_part, tiling=tiling, structure=structure, geometry=geometry, wide=wide, groups=groups)
    tiles = high * wide * groups
    result = launch(x, values, bias, source, tiles, structure, tiling, **how)
    return result.reshape(high, wide, groups * tiling.rows, -1)[:, :, :images].transpose(2, 0, 1, 3)


def _part(
    x: Ref,
    block: jax.Array,
    tile: jax.Array,
    *,
    tiling: GpuTiling,
    structure: BlockStructure,
    geometry: ConvGeometry,
    wide: int,
    groups: int,
) -> Ref:
    """The inputs of a block for a tile: one position of the output, and a group of images."""
    from jax.experimental import pallas as pl

    height, (_, columns, channels, _) = structure.block[0], structure.shape
    position, group = _divided(tile, groups)
    offset, channel = _divided(block, channels // height)
    axes = zip(_divided(position, wide), geometry.strides, _divided(offset, columns), geometry.dilation, strict=True)
    down, right = (at * stride + step * far for at, stride, step, far in axes)
    inputs, rows = pl.ds(channel * height, height), pl.ds(group * tiling.rows, tiling.rows)
    return x.at[down, right, inputs, rows] if tiling.transposed else x.at[down, right, rows, inputs]


def _divided(value: jax.Array, by: int) -> tuple[jax.Array, jax.Array]:
    """Quotient and remainder of numbers that are not negative."""
    divisor = jnp.int32(by)
    return lax.div(value, divisor), lax.rem(value, divisor)
