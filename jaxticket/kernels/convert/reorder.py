"""Channels in an order in which what is kept fills fewer blocks; what the network computes stays.

The order of hidden channels is arbitrary. Next to each other, outputs that read the same inputs share blocks, and so do
inputs that the same outputs read.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxticket.core import paths
from jaxticket.core.types import Inputs, Path, PyTree
from jaxticket.kernels.convert.model import SparseModel
from jaxticket.structure.channel_groups.channels import ChannelGroup, ChannelSlice
from jaxticket.structure.channel_groups.trace import channel_groups

# The order of some channels is what others are compared by; from the second time on little changes.
_SWEEPS = 2


class Reordered(NamedTuple):
    """Variables with channels in another order.

    Attributes:
        variables: a tree like the one given.
        blocks: stored before and after, in all kernels.
    """

    variables: PyTree
    blocks: tuple[int, int]


def reorder_channels(model: SparseModel, block: tuple[int, int]) -> SparseModel:
    """The pass that puts channels in an order in which kernels fill fewer blocks."""
    variables, blocks = reorder(model.adapter.apply, model.variables, model.mask, model.sample, block)
    return dataclasses.replace(model, variables=variables, report=dataclasses.replace(model.report, reordered=blocks))


def reorder(
    fn: Callable[..., Any], variables: PyTree, kernels: Iterable[Path], sample: Inputs, block: tuple[int, int]
) -> Reordered:
    """Puts the channels of a network in an order in which its kernels fill fewer blocks.

    Channels are taken in groups as wide as a block, each begun with the one that reads or is read most and continued
    with whatever adds least to the blocks that the group needs; within such a group by their inputs in the same way. An
    order is kept only if it needs fewer blocks.

    Args:
        fn: (variables, sample) -> any pytree.
        variables: concrete arrays, masked.
        kernels: paths of those leaves that would be stored in blocks.
        sample: the input.
        block: (inputs, outputs) of the blocks.
    """
    leaves = paths.leaves(variables)
    kept = {path: np.asarray(leaves[path]) != 0 for path in kernels}
    groups = [group for group in channel_groups(fn, variables, sample).prunable if group.size > 1]
    orders = [np.arange(group.size) for group in groups]
    before = sum(_blocks(array, block) for array in kept.values())
    for _ in range(_SWEEPS):
        for number, group in enumerate(groups):
            own = {part.path for part in group.slices} & kept.keys()
            order = _order(group, kept, block)
            moved = {path: _moved(kept[path], path, group, order) for path in own}
            if sum(_blocks(moved[path], block) - _blocks(kept[path], block) for path in own) < 0:
                kept |= moved
                orders[number] = orders[number][order]
    after = sum(_blocks(array, block) for array in kept.values())
    changed = {}
    for group, order in zip(groups, orders, strict=True):
        if (order != np.arange(group.size)).any():
            for path in {part.path for part in group.slices}:
                changed[path] = _moved(np.asarray(changed.get(path, leaves[path])), path, group, order)
    return Reordered(
        paths.replace(variables, {path: jnp.asarray(array) for path, array in changed.items()}), (before, after)
    )


def _blocks(kept: np.ndarray, block: tuple[int, int]) -> int:
    """How many blocks hold anything."""
    matrix = kept.reshape(-1, kept.shape[-1])
    rows = np.logical_or.reduceat(matrix, np.arange(0, matrix.shape[0], block[0]), axis=0)
    return int(np.logical_or.reduceat(rows, np.arange(0, matrix.shape[1], block[1]), axis=1).sum())


def _moved(array: np.ndarray, path: Path, group: ChannelGroup, order: np.ndarray) -> np.ndarray:
    """A leaf with the channels of a group in another order."""
    for part in group.slices:
        if part.path == path:
            positions = np.arange(array.shape[part.axis])
            positions[part.index] = part.index[order]
            array = np.take(array, positions, part.axis)
    return array


def _order(group: ChannelGroup, kept: Mapping[Path, np.ndarray], block: tuple[int, int]) -> np.ndarray:
    """The channels of a group in the order in which they fill few blocks: position -> channel."""
    outputs, inputs = [], []
    for part in group.slices:
        if part.path not in kept:
            continue
        array = kept[part.path]
        if part.role == "output" and part.axis == array.ndim - 1:
            outputs.append(_reads(array, part, block[0]))
        elif part.role == "input" and part.axis < array.ndim - 1:
            inputs.append(_read_by(array, part, block[1]))
    width, height = (size if found else group.size for size, found in zip(block[::-1], (outputs, inputs), strict=True))
    order = np.arange(group.size)
    for patterns, size, within in ((outputs, width, group.size), (inputs, height, width if outputs else group.size)):
        if patterns:
            table = np.concatenate(patterns, axis=1)
            spans = [order[first : first + within] for first in range(0, group.size, within)]
            order = np.concatenate([span[_most_in_common(table[span], size)] for span in spans])
    return order


def _reads(kept: np.ndarray, part: ChannelSlice, rows: int) -> np.ndarray:
    """Which blocks of inputs each channel needs as an output, bool [channels, ...]."""
    matrix = kept.reshape(-1, kept.shape[-1])
    blocks = np.logical_or.reduceat(matrix, np.arange(0, matrix.shape[0], rows), axis=0)
    return np.any(blocks[:, part.index], axis=2).T


def _read_by(kept: np.ndarray, part: ChannelSlice, cols: int) -> np.ndarray:
    """Which blocks of outputs need each channel as an input, at each position of the window, bool [channels, ...]."""
    blocks = np.logical_or.reduceat(kept, np.arange(0, kept.shape[-1], cols), axis=kept.ndim - 1)
    return np.moveaxis(blocks, part.axis, 0)[part.index].reshape(len(part.index), -1)


def _most_in_common(patterns: np.ndarray, size: int) -> np.ndarray:
    """Rows in an order in which each `size` of them have much in common: position -> row."""
    table = patterns.astype(np.float32)
    left = np.ones(len(table), bool)
    order: list[int] = []
    needed = np.zeros(table.shape[1], np.float32)
    for position in range(len(table)):
        if position % size == 0:
            needed = np.zeros_like(needed)
            cost = -table.sum(axis=1)
        else:
            # What it adds; of equals the one that shares most.
            cost = table @ (1 - needed - needed / (2 * table.shape[1]))
        row = int(np.argmin(np.where(left, cost, math.inf)))
        order.append(row)
        left[row] = False
        needed = np.maximum(needed, table[row])
    return np.asarray(order)
