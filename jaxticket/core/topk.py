"""The k lowest of many scores, to the last one, with no sort and no gather.

Scores become integers of the same order, and the bound below which k of them lie is found by counting: every pass
over the data counts, in one fused reduction, how many integers lie below each of seven bounds, and so narrows the
search eightfold. Where more equal scores meet the bound than may go, the same search over their positions decides.
Only counts travel between devices and only integers are compared, so the result has the same bits eagerly, under
`jit` and on any number of devices.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxticket.core.masks import is_traced, sharding_of
from jaxticket.core.types import Array, Mask, Path, Scores

# Seven bounds a pass: with fewer there are more passes, with more each takes longer to run and to compile.
BITS_PER_PASS = 3
# Leaves of equal shape are counted as one array, which keeps the program small, until it has this many weights.
MOST_PER_STACK = 2**23


# Bounds by group, how many lie below them by group, and the bits by which the next steps are shifted.
_SearchState = tuple[jax.Array, jax.Array, jax.Array]


class LeafSlot(NamedTuple):
    """The slot of a leaf: the group within which it is compared, and the position of its first weight there."""

    path: Path
    group: int
    first: int


class GroupLayout(NamedTuple):
    """How the leaves of a mask are compared; hashable, for `jit`.

    Attributes:
        stacks: leaves that are counted together, as one array [leaves, *shape].
        sizes: the number of weights in each group.
    """

    stacks: tuple[tuple[LeafSlot, ...], ...]
    sizes: tuple[int, ...]

    @property
    def slots(self) -> list[LeafSlot]:
        """All leaves in the order of the stacks."""
        return [slot for stack in self.stacks for slot in stack]

    @property
    def groups(self) -> np.ndarray:
        """The group of every leaf, in the order of `slots`."""
        return np.array([slot.group for slot in self.slots])


def group_layout(scores: Scores, *, together: bool) -> GroupLayout:
    """Stacks leaves that are alike, and gives each leaf its slot in its group.

    Args:
        scores: path -> array.
        together: whether all leaves are one group, else each is one, in sorted order. Within a group weights are
            ordered by (sorted path, C-order index).
    """
    sizes = [0] * (1 if together else len(scores))
    stacks: dict[Any, list[list[LeafSlot]]] = {}
    for number, path in enumerate(sorted(scores)):
        size, group = math.prod(np.shape(scores[path])), 0 if together else number
        alike = stacks.setdefault(_kind(path, scores[path]), [[]])
        if alike[-1] and (len(alike[-1]) + 1) * size > MOST_PER_STACK:
            alike.append([])
        alike[-1].append(LeafSlot(path, group, sizes[group]))
        sizes[group] += size
    return GroupLayout(tuple(tuple(stack) for alike in stacks.values() for stack in alike), tuple(sizes))


def _kind(path: Path, score: Array) -> Any:
    """Equal for leaves that can lie in one array without being moved between devices: of one shape and sharding."""
    if is_traced(score) and jax.device_count() > 1:
        return path  # its sharding cannot be known
    return np.shape(score), sharding_of(score)


@functools.partial(jax.jit, static_argnames="layout")
def ordered_keys(mask: Mask, scores: Scores, layout: GroupLayout) -> tuple[list[jax.Array], jax.Array, jax.Array]:
    """Integers in the order of the scores, the greatest of all where the mask is False.

    Returns:
        The integers, an array [leaves, *shape] per stack; how many weights each group keeps, uint32 [groups]; and how
        many of these have a NaN score in each leaf, in the order of `layout.slots`, uint32 [leaves].
    """
    wide = any(score.dtype == jnp.float64 for score in scores.values())
    pruned = jnp.iinfo(jnp.int64 if wide else jnp.int32).max
    not_a_number = pruned - 1

    def key(kept: jax.Array, score: jax.Array) -> jax.Array:
        return jnp.where(kept, ordered_integers(score, wide=wide), pruned)

    keys = [jnp.stack([key(mask[slot.path], scores[slot.path]) for slot in stack]) for stack in layout.stacks]
    counts = _count([[stack != pruned, stack == not_a_number] for stack in keys])
    # In one program with the search, the compiler would otherwise compute the integers anew in every pass.
    return lax.optimization_barrier((keys, _sum_by_group(counts[:, 0], layout), counts[:, 1]))


def ordered_integers(score: jax.Array, *, wide: bool = False) -> jax.Array:
    """Integers in the order of the scores; -0.0 gives that of 0.0, NaN the greatest but one, and none is the least.

    Args:
        score: float array; half precision counts as float32.
        wide: whether to count as float64, as float64 scores do.

    Returns:
        int32 or, for float64, int64 array of the shape of `score`.
    """
    wide = wide or score.dtype == jnp.float64
    floating, integer = (jnp.float64, jnp.int64) if wide else (jnp.float32, jnp.int32)
    lowest, highest = jnp.iinfo(integer).min, jnp.iinfo(integer).max
    bits = lax.bitcast_convert_type(score.astype(floating), integer)
    # Negative floats count down from -0.0, which has the lowest bits and so comes to lie on 0.0.
    ordered = jnp.where(bits < 0, lowest - bits, bits)
    return jnp.where(jnp.isnan(score), highest - 1, ordered)


@functools.partial(jax.jit, static_argnames="layout")
def protect(keys: list[jax.Array], mask: Mask, layout: GroupLayout) -> list[jax.Array]:
    """The keys with the greatest of all where the mask is True, so that these are never the lowest."""
    hidden = [jnp.stack([mask[slot.path] for slot in stack]) for stack in layout.stacks]
    return [jnp.where(at, jnp.iinfo(key.dtype).max, key) for at, key in zip(hidden, keys, strict=True)]


@functools.partial(jax.jit, static_argnames="layout")
def prune_lowest_k(mask: Mask, keys: list[jax.Array], numbers: jax.Array, layout: GroupLayout) -> Mask:
    """The mask without the lowest keys of every group; among equal keys the first in position go first.

    Args:
        mask: path -> bool array.
        keys: what `ordered_keys` made of the scores.
        numbers: how many weights go from each group, at most as many as are kept, uint32 [groups].
        layout: the slots of the leaves.
    """
    groups = layout.groups
    firsts = np.array([slot.first for slot in layout.slots], np.uint32)
    rows = _rows(layout)

    def lower(bounds: jax.Array) -> list[list[jax.Array]]:
        return [
            [key < _broadcast_rows(bound, key) for bound in bounds[at].T] for key, at in zip(keys, rows, strict=True)
        ]

    def equal_and_before(bounds: jax.Array) -> list[list[jax.Array]]:
        # Tied to the bounds, or the compiler works out all positions ahead of a search that is seldom needed.
        bounds, values, starts = lax.optimization_barrier((bounds, value[groups], firsts))
        conditions = []
        for key, at in zip(keys, rows, strict=True):
            equal, positions = key == _broadcast_rows(values[at], key), _positions(starts[at], key.shape)
            conditions.append([equal & (positions < _broadcast_rows(bound, key)) for bound in bounds[at].T])
        return conditions

    def count(conditions: Callable[[jax.Array], list[list[jax.Array]]], bounds: jax.Array) -> jax.Array:
        return _sum_by_group(_count(conditions(bounds[groups])), layout)

    integer = jnp.iinfo(keys[0].dtype)
    lowest = jnp.full(numbers.shape, integer.min, integer.dtype)
    value, number_lower = _search(functools.partial(count, lower), numbers, lowest, integer.bits)

    first = jnp.zeros(numbers.shape, jnp.uint32)
    bits = max(layout.sizes).bit_length()
    position, _ = _search(functools.partial(count, equal_and_before), numbers - number_lower, first, bits)

    new = {}
    gone = zip(lower(value[groups, None]), equal_and_before(position[groups, None]), strict=True)
    for stack, ((is_lower,), (is_next,)) in zip(layout.stacks, gone, strict=True):
        kept = ~(is_lower | is_next)
        new |= {slot.path: mask[slot.path] & kept[row] for row, slot in enumerate(stack)}
    return new


def _rows(layout: GroupLayout) -> list[slice]:
    """Where the leaves of every stack are in `layout.slots`."""
    ends = np.cumsum([len(stack) for stack in layout.stacks]).tolist()
    return [slice(end - len(stack), end) for end, stack in zip(ends, layout.stacks, strict=True)]


def _search(
    count_below: Callable[[jax.Array], jax.Array], numbers: jax.Array, lowest: jax.Array, bits: int
) -> tuple[jax.Array, jax.Array]:
    """The highest bound found, by group, below which at most `numbers` lie, and how many do lie below it.

    It ends as soon as exactly `numbers` lie below the bound of every group, at the latest when no higher bound is left.

    Args:
        count_below: bounds [groups, n] -> how many lie below each, [groups, n].
        numbers: how many are wanted, uint32 [groups].
        lowest: a bound below which nothing lies, [groups].
        bits: nothing lies at or above `lowest + 2**bits`.
    """
    steps = jnp.arange(1, 2**BITS_PER_PASS, dtype=lowest.dtype)

    def unfinished(state: _SearchState) -> jax.Array:
        _, number, shift = state
        return (shift >= 0) & jnp.any(number < numbers)

    def narrow(state: _SearchState) -> _SearchState:
        bound, number, shift = state
        # The first pass may try bounds beyond the last integer: they wrap round to others, which does no harm.
        tried = bound[:, None] + (steps << shift.astype(steps.dtype))[None, :]
        counts = count_below(tried)
        low_enough = counts <= numbers[:, None]
        bound = jnp.max(jnp.where(low_enough, tried, bound[:, None]), axis=1)
        number = jnp.max(jnp.where(low_enough, counts, number[:, None]), axis=1)
        return bound, number, shift - BITS_PER_PASS

    first_shift = BITS_PER_PASS * ((bits - 1) // BITS_PER_PASS)
    bound, number, _ = lax.while_loop(unfinished, narrow, (lowest, jnp.zeros_like(numbers), jnp.int32(first_shift)))
    return bound, number


def _count(conditions: Sequence[Sequence[jax.Array]]) -> jax.Array:
    """How often each condition holds in each leaf, uint32 [leaves, conditions].

    Args:
        conditions: for every stack its conditions, each [leaves of the stack, *shape]; those of one stack are counted
            in one pass over the data.
    """

    def add(a: Sequence[jax.Array], b: Sequence[jax.Array]) -> tuple[jax.Array, ...]:
        return tuple(x + y for x, y in zip(a, b, strict=True))

    counts = []
    for stack in conditions:
        ones = [condition.astype(jnp.uint32) for condition in stack]
        counts.append(lax.reduce(ones, [jnp.uint32(0)] * len(ones), add, range(1, ones[0].ndim)))
    return jnp.stack([jnp.concatenate(leaves) for leaves in zip(*counts, strict=True)], axis=1)


def _sum_by_group(by_leaf: jax.Array, layout: GroupLayout) -> jax.Array:
    """[leaves, ...] -> [groups, ...]."""
    return jnp.zeros((len(layout.sizes), *by_leaf.shape[1:]), by_leaf.dtype).at[layout.groups].add(by_leaf)


def _broadcast_rows(by_row: jax.Array, rows: jax.Array) -> jax.Array:
    """One value per row, [leaves], in the rank of `rows`, [leaves, *shape]."""
    return lax.expand_dims(by_row, range(1, rows.ndim))


def _positions(first: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The position of every weight in its group, in C order from `first`, [leaves], of each leaf on."""
    positions = lax.broadcast_in_dim(first, shape, (0,))
    for axis in [axis for axis in range(1, len(shape)) if shape[axis] > 1]:
        steps = np.arange(shape[axis], dtype=np.uint32) * np.uint32(math.prod(shape[axis + 1 :]))
        positions += lax.broadcast_in_dim(steps, shape, (axis,))
    return positions
