"""Rules for operations that move, repeat, cut and join elements."""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from jaxticket.structure.channel_groups.traced import NOWHERE, Origin, Rule, Trace, Value, made, moved
from jaxticket.structure.channel_groups.union_find import Labels, is_tracked
from jaxticket.tracing.jaxpr import result_shapes

_FACTOR = "a reshape splits them by a factor that the function fixes"
_JOINED = "a reshape joins them with another axis of channels"
_CONSTANT = "a constant is joined to them"


def broadcast(trace: Trace, equation: Any, operands: Sequence[Value]) -> list[Value]:
    """Axes that are repeated are of any size."""
    del trace
    (shape,) = result_shapes(equation)
    operand = operands[0]
    axes: list[Labels] = [None] * len(shape)
    origins: list[Origin] = [NOWHERE] * len(shape)
    for axis, place in enumerate(equation.params["broadcast_dimensions"]):
        if operand.shape[axis] == shape[place]:
            axes[place], origins[place] = operand.axes[axis], operand.origins[axis]
    return [moved(operand, shape, axes, origins)]


def transpose(trace: Trace, equation: Any, operands: Sequence[Value]) -> list[Value]:
    """Axes in another order."""
    del trace
    (operand,), order = operands, equation.params["permutation"]
    axes, origins = [operand.axes[axis] for axis in order], [operand.origins[axis] for axis in order]
    return [moved(operand, [operand.shape[axis] for axis in order], axes, origins)]


def squeeze(trace: Trace, equation: Any, operands: Sequence[Value]) -> list[Value]:
    """Axes of size 1 are left out."""
    del trace
    (operand,) = operands
    left = [axis for axis in range(len(operand.shape)) if axis not in equation.params["dimensions"]]
    axes, origins = [operand.axes[axis] for axis in left], [operand.origins[axis] for axis in left]
    return [moved(operand, [operand.shape[axis] for axis in left], axes, origins)]


def reverse(trace: Trace, equation: Any, operands: Sequence[Value]) -> list[Value]:
    """Positions in reverse order, such as the window of a transposed convolution."""
    del trace
    (operand,) = operands
    axes = list(operand.axes)
    for axis in equation.params["dimensions"]:
        labels = axes[axis]
        axes[axis] = None if labels is None else labels[::-1]
    return [moved(operand, operand.shape, axes, operand.origins)]


def reshape(trace: Trace, equation: Any, operands: Sequence[Value]) -> list[Value]:
    """Axes are joined and split; see `_join` and `_split` for which of them have the channels."""
    (shape,), operand = result_shapes(equation), operands[0]
    axes: list[Labels] = [None] * len(shape)
    origins: list[Origin] = [NOWHERE] * len(shape)
    for before, after in _blocks(operand.shape, shape):
        labels = _join(trace, [operand.axes[axis] for axis in before], [operand.shape[axis] for axis in before])
        parts = _split(trace, labels, [shape[axis] for axis in after])
        origin = reduce(frozenset.union, (operand.origins[axis] for axis in before), NOWHERE)
        for axis, part in zip(after, parts, strict=True):
            axes[axis], origins[axis] = part, origin
    return [moved(operand, shape, axes, origins)]


def _blocks(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Neighbouring axes of both shapes of the same product, each as few as can be; axes of size 1 are in none."""
    old = [axis for axis, size in enumerate(before) if size != 1]
    new = [axis for axis, size in enumerate(after) if size != 1]
    if math.prod(before) == 0:
        return [(old, new)]
    blocks = []
    while old:
        left, right = [old.pop(0)], [new.pop(0)]
        while (product := math.prod(before[axis] for axis in left)) != (
            other := math.prod(after[axis] for axis in right)
        ):
            (left if product < other else right).append((old if product < other else new).pop(0))
        blocks.append((left, right))
    return blocks


def _join(trace: Trace, axes: Sequence[Labels], shape: Sequence[int]) -> Labels:
    """Labels of neighbouring axes as one: the last axis of channels gives its own, repeated, others are pinned."""
    tracked = [axis for axis, labels in enumerate(axes) if is_tracked(labels)]
    for axis in tracked[:-1]:
        trace.ids.pin(axes[axis], _JOINED)
    chosen = tracked[-1] if tracked else next((axis for axis, labels in enumerate(axes) if labels is not None), None)
    if chosen is None:
        return None
    labels = axes[chosen]
    assert labels is not None
    alone = [-1 if axis == chosen else 1 for axis in range(len(shape))]
    return np.broadcast_to(labels.reshape(alone), shape).ravel()


def _split(trace: Trace, labels: Labels, shape: Sequence[int]) -> list[Labels]:
    """Labels of one axis as several: one has the channels, the others are fixed.

    It is the last along which nothing new has to be merged, such as that of channels behind a flatten or a shuffle,
    and otherwise the very last: of heads times features the features, of groups times channels the channels.
    """
    if labels is None or len(shape) == 1:
        return [labels] * len(shape)
    table = trace.ids.roots(labels).reshape(shape)
    columns = [np.moveaxis(table, axis, 0).reshape(size, -1) for axis, size in enumerate(shape)]
    even = [axis for axis, column in enumerate(columns) if (column == column[:, :1]).all()]
    chosen = even[-1] if even else len(shape) - 1
    fixed = [column[:, 0] for column in columns]
    if is_tracked(labels):
        fixed = [trace.ids.fixed(size, _FACTOR) for size in shape]
    return [
        trace.ids.merge_parts(list(columns[axis].T)) if axis == chosen else fixed[axis] for axis in range(len(shape))
    ]


def concatenate(trace: Trace, equation: Any, operands: Sequence[Value]) -> list[Value]:
    """Labels one after the other along the axis, the same for all parts along the others.

    Zeros (or one other number) that are joined to channels pad them, and pin them as `pad` does.
    """
    (shape,), along = result_shapes(equation), equation.params["dimension"]
    parts = [operand.axes[along] for operand in operands]
    axes: list[Labels] = [None] * len(shape)
    for axis in range(len(shape)):
        if axis != along:
            axes[axis] = reduce(trace.ids.merge, (operand.axes[axis] for operand in operands))
    if any(labels is None and operand.scalar is not None for labels, operand in zip(parts, operands, strict=True)):
        for labels in parts:
            trace.ids.pin(labels, _CONSTANT)
    if any(labels is not None for labels in parts):
        fixed = [trace.ids.fixed(operand.shape[along], _CONSTANT) for operand in operands]
        axes[along] = np.concatenate(
            [one if labels is None else labels for labels, one in zip(parts, fixed, strict=True)]
        )
    origins = [reduce(frozenset.union, (operand.origins[axis] for operand in operands)) for axis in range(len(shape))]
    return [made(shape, axes, origins, operands)]


def split(trace: Trace, equation: Any, operands: Sequence[Value]) -> list[Value]:
    """Parts of equal size lose as many channels, so that the function cuts at the right places with fewer of them."""
    (operand,), along, sizes = operands, equation.params["axis"], equation.params["sizes"]
    if len(set(sizes)) > 1:
        trace.ids.pin(operand.axes[along], "a split cuts them into parts of different sizes")
    values, start = [], 0
    for size in sizes:
        labels = _cut(trace, operand.axes[along], start, start + int(size), 1)
        axes, shape = list(operand.axes), list(operand.shape)
        axes[along], shape[along] = labels, int(size)
        values.append(moved(operand, shape, axes, operand.origins))
        start += int(size)
    return values


def cut(trace: Trace, equation: Any, operands: Sequence[Value]) -> list[Value]:
    """A slice with static bounds: see `_cut`."""
    (shape,), operand = result_shapes(equation), operands[0]
    starts, ends = equation.params["start_indices"], equation.params["limit_indices"]
    strides = equation.params["strides"] or (1,) * len(shape)
    axes = [_cut(trace, *bounds) for bounds in zip(operand.axes, starts, ends, strides, strict=True)]
    return [moved(operand, shape, axes, operand.origins)]


def _cut(trace: Trace, labels: Labels, start: int, end: int, stride: int) -> Labels:
    """Labels of a slice: parts of an even partition lose as many channels each, any other slice pins.

    With a stride the channels that a step passes over go with the one it takes, so that it comes out there again.
    """
    if labels is None or not is_tracked(labels):
        return None if labels is None else labels[start:end:stride]
    size, taken = len(labels), len(range(start, end, stride))
    if taken == size:
        return labels
    if stride == 1 and taken > 1 and size % taken == 0 and start % taken == 0:
        trace.parts.append(labels.reshape(-1, taken))
        return labels[start:end]
    if stride > 1 and taken > 1 and size % stride == 0 and taken == size // stride:
        return trace.ids.merge_parts(list(labels.reshape(-1, stride).T))
    trace.ids.pin(labels, f"a slice takes {taken} of {size}, no even part")
    return trace.ids.roots(labels)[start:end:stride]


def pad(trace: Trace, equation: Any, operands: Sequence[Value]) -> list[Value]:
    """Channels that are padded are pinned: how many are put beside them depends on their number."""
    (shape,), operand = result_shapes(equation), operands[0]
    axes = []
    for labels, size, widths in zip(operand.axes, shape, equation.params["padding_config"], strict=True):
        if labels is not None and any(widths):
            trace.ids.pin(labels, "they are padded")
            labels = trace.ids.fixed(size, "they are padded")
        axes.append(labels)
    return [made(shape, axes, operand.origins, operands)]


RULES: dict[str, Rule] = {
    "broadcast_in_dim": broadcast,
    "concatenate": concatenate,
    "pad": pad,
    "reshape": reshape,
    "rev": reverse,
    "slice": cut,
    "split": split,
    "squeeze": squeeze,
    "transpose": transpose,
}
