"""Rules for operations over whole axes: products, convolutions, reductions, windows and look-ups."""

import dataclasses
from collections.abc import Sequence
from functools import reduce

import numpy as np
from jax.extend.core import JaxprEqn

from jaxticket.structure.channel_groups.rules_elements import pin_scaled
from jaxticket.structure.channel_groups.traced import NO_ORIGIN, Rule, Trace, Value, new_value, pin_unknown, rearranged
from jaxticket.structure.channel_groups.union_find import Labels
from jaxticket.tracing.jaxpr import result_shapes

_REDUCTIONS = (
    "argmax argmin reduce_and reduce_max reduce_min reduce_or reduce_prod reduce_sum reduce_xor cumlogsumexp cummax "
    "cummin cumprod cumsum sort top_k"
)
_WINDOWS = "reduce_window_max reduce_window_min reduce_window_sum"


def dot_general(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """Axes that are summed over, or run along together, are the same in both operands; the others are the result's."""
    left, right = operands
    (left_sum, right_sum), (left_batch, right_batch) = equation.params["dimension_numbers"]
    pairs = [(left.axes[i], right.axes[j]) for i, j in zip(left_sum, right_sum, strict=True)]
    summed = [trace.ids.merge(*pair) for pair in pairs]
    batch = [trace.ids.merge(left.axes[i], right.axes[j]) for i, j in zip(left_batch, right_batch, strict=True)]
    left_free = [axis for axis in range(len(left.shape)) if axis not in (*left_sum, *left_batch)]
    right_free = [axis for axis in range(len(right.shape)) if axis not in (*right_sum, *right_batch)]
    # Of two weights the left one makes what the right one reads, such as learned queries.
    if right.is_weight:
        _mark_kernel(trace, right, [*right_sum, *right_batch], right_free)
    if left.is_weight and right.is_weight:
        _mark_kernel(trace, left, left_batch, left_sum)
    elif left.is_weight:
        _mark_kernel(trace, left, [*left_sum, *left_batch], left_free)
    axes = [*batch, *(left.axes[axis] for axis in left_free), *(right.axes[axis] for axis in right_free)]
    origins = [left.origins[i] | right.origins[j] for i, j in zip(left_batch, right_batch, strict=True)]
    origins += [left.origins[axis] for axis in left_free] + [right.origins[axis] for axis in right_free]
    value = new_value(result_shapes(equation)[0], axes, origins, operands)
    if left.from_input and right.from_input:
        contracted = tuple(labels for labels in summed if labels is not None)
        pin_scaled(trace, contracted, sorted(left.scales | right.scales))
        return [dataclasses.replace(value, contracted=contracted)]
    return [value]


def _mark_kernel(trace: Trace, kernel: Value, read: Sequence[int], made_by_it: Sequence[int]) -> None:
    for axis in read:
        trace.mark(kernel, axis, "input")
    for axis in made_by_it:
        trace.mark(kernel, axis, "output")


def convolution(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """Features go in and out as in a product; windows run over the other axes.

    In a grouped convolution corresponding channels of the groups are read by the same slice of the kernel, so they
    are one, and the groups make as many each; in a depthwise one each channel is its own group, and is removed
    with all that is computed from it.
    """
    image, kernel = operands
    numbers, groups = equation.params["dimension_numbers"], equation.params["feature_group_count"]
    (shape,) = result_shapes(equation)
    if equation.params["batch_group_count"] != 1:
        return pin_unknown(trace, equation, operands)
    lhs, rhs, out = (tuple(spec) for spec in (numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec))
    made_by_it, read = kernel.axes[rhs[0]], kernel.axes[rhs[1]]
    entering = image.axes[lhs[1]]
    if groups == 1:
        trace.ids.merge(entering, read)
    elif kernel.shape[rhs[1]] == 1:
        made_by_it = _depthwise(trace, entering, made_by_it, kernel.shape[rhs[0]] // groups)
    else:
        _grouped(trace, groups, entering, made_by_it, read)
    window = "a window runs over them"
    for value, spatial in ((image, lhs[2:]), (kernel, rhs[2:])):
        for axis in spatial:
            trace.ids.pin(value.axes[axis], window)
    if kernel.is_weight:
        _mark_kernel(trace, kernel, rhs[1:2], rhs[:1])
    axes: list[Labels] = [trace.ids.fixed(size, window) for size in shape]
    axes[out[0]], axes[out[1]] = image.axes[lhs[0]], made_by_it
    origins = [NO_ORIGIN] * len(shape)
    origins[out[0]], origins[out[1]] = image.origins[lhs[0]], kernel.origins[rhs[0]]
    return [new_value(shape, axes, origins, operands)]


def _depthwise(trace: Trace, entering: Labels, made_by_it: Labels, each: int) -> Labels:
    """Ties every channel to the ones computed from it; returns their labels."""
    return trace.ids.merge(None if entering is None else np.repeat(entering, each), made_by_it)


def _grouped(trace: Trace, groups: int, entering: Labels, made_by_it: Labels, read: Labels) -> None:
    """Ties channels of different groups that one slice of the kernel reads, and notes which are produced together."""
    if entering is not None:
        trace.ids.merge(trace.ids.merge_parts(list(entering.reshape(groups, -1))), read)
    if made_by_it is not None:
        trace.parts.append(made_by_it.reshape(groups, -1))


def reduction(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """What is computed over all channels changes when one is removed, even a zero one (a mean does, and a softmax)."""
    name, params = equation.primitive.name, equation.params
    along = params.get("axes", params.get("axis", params.get("dimension", -1)))
    rank = len(operands[0].shape)
    reduced = {axis % rank for axis in (along if isinstance(along, tuple | list) else (along,))} if rank else set()
    reason = f"{name} runs over them, as in a normalisation or softmax"
    values = []
    for shape in result_shapes(equation):
        kept = [axis for axis in range(rank) if axis not in reduced or len(shape) == rank]
        axes = [reduce(trace.ids.merge, (operand.axes[axis] for operand in operands)) for axis in kept]
        for place, axis in enumerate(kept):
            if axis in reduced and axes[place] is not None:
                axes[place] = trace.ids.fixed(shape[place], reason)
        values.append(new_value(shape, axes, [operands[0].origins[axis] for axis in kept], operands))
    for operand in operands:
        for axis in reduced:
            trace.ids.pin(operand.axes[axis], reason)
    return values


def window(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """Pooling: channels along which there is no window stay."""
    (shape,), operand, params = result_shapes(equation), operands[0], equation.params
    axes = list(operand.axes)
    for axis, labels in enumerate(axes):
        settings = (params[name][axis] for name in ("window_dimensions", "window_strides", "base_dilation"))
        if labels is not None and (any(number != 1 for number in settings) or any(params["padding"][axis])):
            trace.ids.pin(labels, "a window runs over them")
            axes[axis] = trace.ids.fixed(shape[axis], "a window runs over them")
    return [new_value(shape, axes, operand.origins, operands)]


def dynamic_slice(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """Axes that are taken whole keep their channels, others are pinned."""
    (shape,), operand = result_shapes(equation), operands[0]
    axes = list(operand.axes)
    for axis, labels in enumerate(axes):
        if shape[axis] != operand.shape[axis] and labels is not None:
            axes[axis] = _by_position(trace, labels, shape[axis])
    return [rearranged(operand, shape, axes, operand.origins)]


def gather(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """A look-up, such as that of an embedding: axes that are taken whole keep their channels, others are pinned."""
    (shape,), (operand, indices) = result_shapes(equation), operands
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    gone = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    axes: list[Labels] = [None] * len(shape)
    origins = [NO_ORIGIN] * len(shape)
    whole = [axis for axis in range(len(operand.shape)) if axis not in gone]
    for place, axis in zip(numbers.offset_dims, whole, strict=True):
        axes[place], origins[place] = operand.axes[axis], operand.origins[axis]
        labels = operand.axes[axis]
        if labels is not None and sizes[axis] != operand.shape[axis]:
            axes[place] = _by_position(trace, labels, sizes[axis])
        elif operand.is_weight:
            trace.mark(operand, axis, "output")
    for axis in gone:
        trace.ids.pin(operand.axes[axis], "they are chosen by position")
    batch = [place for place in range(len(shape)) if place not in numbers.offset_dims]
    for place, axis in zip(batch, range(len(indices.shape) - 1), strict=True):
        axes[place] = indices.axes[axis]
    return [new_value(shape, axes, origins, operands)]


def _by_position(trace: Trace, labels: np.ndarray, size: int) -> np.ndarray:
    trace.ids.pin(labels, "they are chosen by position")
    return trace.ids.fixed(size, "they are chosen by position")


RULES: dict[str, Rule] = {
    **dict.fromkeys(_REDUCTIONS.split(), reduction),
    **dict.fromkeys(_WINDOWS.split(), window),
    "conv_general_dilated": convolution,
    "dot_general": dot_general,
    "dynamic_slice": dynamic_slice,
    "gather": gather,
}
