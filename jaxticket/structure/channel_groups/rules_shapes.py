"""Rules for operations that move, repeat, cut and join elements."""

from collections.abc import Sequence
from functools import reduce

import numpy as np
from jax.extend.core import JaxprEqn

from jaxticket.structure.channel_groups.rules_reshape import reshape
from jaxticket.structure.channel_groups.traced import NO_ORIGIN, Origin, Rule, Trace, Value, new_value, rearranged
from jaxticket.structure.channel_groups.union_find import Labels, is_tracked
from jaxticket.tracing.jaxpr import result_shapes

_CONSTANT = "a constant is joined to them"


def broadcast_in_dim(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """Axes that are repeated are of any size."""
    del trace
    (shape,) = result_shapes(equation)
    operand = operands[0]
    axes: list[Labels] = [None] * len(shape)
    origins: list[Origin] = [NO_ORIGIN] * len(shape)
    for axis, place in enumerate(equation.params["broadcast_dimensions"]):
        if operand.shape[axis] == shape[place]:
            axes[place], origins[place] = operand.axes[axis], operand.origins[axis]
    return [rearranged(operand, shape, axes, origins)]


def transpose(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """Axes in another order."""
    del trace
    (operand,), order = operands, equation.params["permutation"]
    axes, origins = [operand.axes[axis] for axis in order], [operand.origins[axis] for axis in order]
    return [rearranged(operand, [operand.shape[axis] for axis in order], axes, origins)]


def squeeze(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """Axes of size 1 are left out."""
    del trace
    (operand,) = operands
    left = [axis for axis in range(len(operand.shape)) if axis not in equation.params["dimensions"]]
    axes, origins = [operand.axes[axis] for axis in left], [operand.origins[axis] for axis in left]
    return [rearranged(operand, [operand.shape[axis] for axis in left], axes, origins)]


def reverse(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """Positions in reverse order, such as the window of a transposed convolution."""
    del trace
    (operand,) = operands
    axes = list(operand.axes)
    for axis in equation.params["dimensions"]:
        labels = axes[axis]
        axes[axis] = None if labels is None else labels[::-1]
    return [rearranged(operand, operand.shape, axes, operand.origins)]


def concatenate(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
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
    return [new_value(shape, axes, origins, operands)]


def split(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """Parts of equal size lose as many channels, so that the function cuts at the right positions with fewer."""
    (operand,), along, sizes = operands, equation.params["axis"], equation.params["sizes"]
    if len(set(sizes)) > 1:
        trace.ids.pin(operand.axes[along], "a split cuts them into parts of different sizes")
    values, start = [], 0
    for size in sizes:
        labels = _slice_labels(trace, operand.axes[along], start, start + int(size), 1)
        axes, shape = list(operand.axes), list(operand.shape)
        axes[along], shape[along] = labels, int(size)
        values.append(rearranged(operand, shape, axes, operand.origins))
        start += int(size)
    return values


def static_slice(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """A slice with static bounds: see `_slice_labels`."""
    (shape,), operand = result_shapes(equation), operands[0]
    starts, ends = equation.params["start_indices"], equation.params["limit_indices"]
    strides = equation.params["strides"] or (1,) * len(shape)
    axes = [_slice_labels(trace, *bounds) for bounds in zip(operand.axes, starts, ends, strides, strict=True)]
    return [rearranged(operand, shape, axes, operand.origins)]


def _slice_labels(trace: Trace, labels: Labels, start: int, end: int, stride: int) -> Labels:
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


def pad(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """Channels that are padded are pinned: how many zeros are added depends on their number."""
    (shape,), operand = result_shapes(equation), operands[0]
    axes = []
    for labels, size, widths in zip(operand.axes, shape, equation.params["padding_config"], strict=True):
        if labels is not None and any(widths):
            trace.ids.pin(labels, "they are padded")
            labels = trace.ids.fixed(size, "they are padded")
        axes.append(labels)
    return [new_value(shape, axes, operand.origins, operands)]


RULES: dict[str, Rule] = {
    "broadcast_in_dim": broadcast_in_dim,
    "concatenate": concatenate,
    "pad": pad,
    "reshape": reshape,
    "rev": reverse,
    "slice": static_slice,
    "split": split,
    "squeeze": squeeze,
    "transpose": transpose,
}
