"""The rule for reshapes: which of the axes that are joined and split have the channels."""

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np
from jax.extend.core import JaxprEqn

from jaxticket.structure.channel_groups.traced import NO_ORIGIN, Origin, Trace, Value, rearranged
from jaxticket.structure.channel_groups.union_find import Labels, is_tracked
from jaxticket.tracing.jaxpr import result_shapes

_FACTOR = "a reshape splits them by a factor that the function fixes"
_JOINED = "a reshape joins them with another axis of channels"


def reshape(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """Axes are joined and split; see `_join` and `_split` for which of them have the channels."""
    (shape,), operand = result_shapes(equation), operands[0]
    axes: list[Labels] = [None] * len(shape)
    origins: list[Origin] = [NO_ORIGIN] * len(shape)
    for before, after in _blocks(operand.shape, shape):
        labels = _join(trace, [operand.axes[axis] for axis in before], [operand.shape[axis] for axis in before])
        parts = _split(trace, labels, [shape[axis] for axis in after])
        origin = reduce(frozenset.union, (operand.origins[axis] for axis in before), NO_ORIGIN)
        for axis, part in zip(after, parts, strict=True):
            axes[axis], origins[axis] = part, origin
    return [rearranged(operand, shape, axes, origins)]


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
