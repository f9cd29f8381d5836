"""Sparse matmuls in plain JAX, for every device: gather the inputs of a piece, multiply, put the outputs together.

Rows are taken in tiles, so that what is gathered stays in the cache; without them it is slower than a dense matmul at
half of the weights. JAX differentiates all of it, forwards and backwards.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxticket.kernels.epilogue import Epilogue, accumulation_dtype
from jaxticket.kernels.formats.block_sparse import BlockSparse
from jaxticket.kernels.formats.sparse_weight import SparseWeight

TILE_ROWS = 256
"""Rows of a tile on a CPU. Other devices take all rows at once."""

MOST_UNROLLED = 64
"""Output blocks up to which each has a matmul of its own in the program; above, a scan goes through them."""

# Copying runs of inputs is up to twice as fast as a gather where they are long, and takes 10 ms each to compile.
_LONG_RUN, _MOST_RUNS = 16, 256

# Chunks of output blocks with like numbers of input blocks, each padded to its longest.
_SCANS = 4

RowMatmul = Callable[[jax.Array], jax.Array]


def xla_matmul(x: jax.Array, weight: SparseWeight, epilogue: Epilogue) -> jax.Array:
    """`epilogue(x @ weight)` by tiles of rows.

    Args:
        x: [rows, inputs], of the dtype of the weight.
        weight: [inputs, outputs] as pieces.
        epilogue: applied to each tile [rows of the tile, outputs] of the result, in the dtype of accumulation.

    Returns:
        [rows, outputs] of the dtype of the epilogue.
    """
    multiply = row_matmul(weight)
    rows = x.shape[0]
    in_tiles = jax.default_backend() == "cpu" and isinstance(rows, int)  # it is a symbol where any batch is exported
    tiles = -(-rows // TILE_ROWS) if in_tiles else 1
    if tiles <= 1:
        return epilogue(multiply(x))
    tile = -(-rows // tiles)
    padded = jnp.pad(x, ((0, tiles * tile - rows), (0, 0))).reshape(tiles, tile, x.shape[1])
    result = lax.map(lambda part: epilogue(multiply(part)), padded)
    return result.reshape(tiles * tile, result.shape[-1])[:rows]


def row_matmul(weight: SparseWeight) -> RowMatmul:
    """The function [rows, inputs] -> [rows, outputs] that multiplies a few rows by `weight`.

    What depends on the weight alone is computed here, once, outside of the loop over tiles.
    """
    if isinstance(weight, BlockSparse) and weight.structure.grid[1] > MOST_UNROLLED:
        return _scan_columns(weight)
    pieces, unit, order, dtype = weight.pieces(), weight.unit, weight.output_order, accumulation_dtype(weight.dtype)
    gather = _copy_runs if _in_long_runs([inputs for inputs, _ in pieces], unit) else _gather

    def multiply(x: jax.Array) -> jax.Array:
        x = _padded(x, unit)
        parts = [
            _multiply_piece(x, inputs, values, dtype, functools.partial(gather, unit)) for inputs, values in pieces
        ]
        if order is None:
            return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=1)
        if (order == sum(part.shape[1] for part in parts)).any():
            parts.append(jnp.zeros((x.shape[0], 1), dtype))
        return jnp.take(jnp.concatenate(parts, axis=1), order, axis=1, mode="clip")

    return multiply


def _padded(x: jax.Array, unit: int) -> jax.Array:
    """[rows, inputs] with zeros behind the last input where it does not fill a unit."""
    return jnp.pad(x, ((0, 0), (0, -x.shape[1] % unit)))


def _multiply_piece(
    x: jax.Array,
    inputs: np.ndarray,
    weight: jax.Array,
    dtype: np.dtype,
    gather: Callable[[tuple[int, ...], jax.Array], jax.Array],
) -> jax.Array:
    if not len(inputs):
        return jnp.zeros((x.shape[0], weight.shape[1]), dtype)
    inputs_of_all = weight.shape[0] == x.shape[1]
    return jnp.dot(x if inputs_of_all else gather(tuple(inputs.tolist()), x), weight, preferred_element_type=dtype)


def _gather(unit: int, chosen: tuple[int, ...], x: jax.Array) -> jax.Array:
    """Some units of the inputs, [rows, len(chosen) * unit]."""
    units = x.reshape(x.shape[0], x.shape[1] // unit, unit)
    found = jnp.take(units, np.asarray(chosen, np.int32), axis=1, mode="clip")
    return found.reshape(x.shape[0], len(chosen) * unit)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _copy_runs(unit: int, chosen: tuple[int, ...], x: jax.Array) -> jax.Array:
    """The same by copying runs of units; the derivative is that of `_gather`, one operation for all runs."""
    runs = [(first * unit, (last + 1) * unit) for first, last in _runs(chosen)]
    return jnp.concatenate([x[:, first:last] for first, last in runs], axis=1)


@_copy_runs.defjvp
def _copy_runs_jvp(
    unit: int, chosen: tuple[int, ...], primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    return _copy_runs(unit, chosen, *primals), _gather(unit, chosen, *tangents)


def _runs(chosen: Sequence[int] | np.ndarray) -> list[tuple[int, int]]:
    """First and last of each run of consecutive numbers."""
    numbers = np.asarray(chosen)
    breaks = np.flatnonzero(np.diff(numbers) != 1)
    firsts, lasts = numbers[[0, *(breaks + 1)]], numbers[[*breaks, -1]]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def _in_long_runs(pieces: Sequence[np.ndarray], unit: int) -> bool:
    """Whether the inputs of pieces are few long runs, on a CPU."""
    count = sum(len(_runs(inputs)) for inputs in pieces if len(inputs))
    return (
        jax.default_backend() == "cpu" and 0 < count <= _MOST_RUNS and sum(map(len, pieces)) * unit >= count * _LONG_RUN
    )


def _scan_columns(weight: BlockSparse) -> RowMatmul:
    """The same as a program whose size does not grow with the number of output blocks."""
    structure, dtype = weight.structure, accumulation_dtype(weight.dtype)
    rows_of_block, outputs = structure.block[0], structure.matrix[1]
    values = jnp.concatenate([weight.values, jnp.zeros((1, *structure.block), weight.dtype)])
    chunks = np.array_split(structure.longest_first, _SCANS)
    tables = []
    for chunk in chunks:
        longest = max(1, *(len(structure.columns[column]) for column in chunk))
        inputs, positions = np.zeros((2, len(chunk), longest), np.int32)
        positions[:] = structure.count  # the block of zeros
        for row, column in enumerate(chunk):
            kept = structure.columns[column]
            inputs[row, : len(kept)] = kept
            positions[row, : len(kept)] = np.arange(len(kept)) + structure.starts[column]
        tables.append((jnp.asarray(inputs), jnp.asarray(positions)))
    back = np.argsort(np.concatenate(chunks)).astype(np.int32)

    def multiply(x: jax.Array) -> jax.Array:
        units = _padded(x, rows_of_block).reshape(x.shape[0], structure.grid[0], rows_of_block)

        def column(_: None, table: tuple[jax.Array, jax.Array]) -> tuple[None, jax.Array]:
            inputs, positions = table
            taken = jnp.take(units, inputs, axis=1, mode="clip").reshape(x.shape[0], -1)
            blocks = jnp.take(values, positions, axis=0, mode="clip")
            return None, jnp.dot(taken, blocks.reshape(taken.shape[1], -1), preferred_element_type=dtype)

        parts = jnp.concatenate([lax.scan(column, None, table)[1] for table in tables])
        return jnp.take(parts, back, axis=0, mode="clip").transpose(1, 0, 2).reshape(x.shape[0], -1)[:, :outputs]

    return multiply
