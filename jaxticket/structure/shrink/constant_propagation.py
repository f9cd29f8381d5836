"""What of a function's values is constant, whatever its inputs are: exact zeros above all.

Every value is followed as an array of which some elements are known. A channel whose weights are all masked is known
to be zero behind its convolution, and to be some constant behind a bias and a normalisation; at the borders of an
image, where zeros are padded, what reaches the next layer differs from the inside, element by element.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import dtypes

from jaxticket.structure.shrink.channel_marks import ChannelMarks
from jaxticket.structure.shrink.constant_rules import ARRANGEMENTS, ELEMENTWISE, NUMPY, arranged, computed
from jaxticket.structure.shrink.contractions import windows
from jaxticket.structure.shrink.partial import Partial, known, unknown
from jaxticket.structure.shrink.program import Operation

_REDUCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "reduce_and": np.all,
    "reduce_max": np.max,
    "reduce_min": np.min,
    "reduce_or": np.any,
    "reduce_prod": np.prod,
    "reduce_sum": np.sum,
}
_WINDOWS: dict[str, tuple[Callable[..., np.ndarray], float]] = {
    "reduce_window_max": (np.max, -np.inf),
    "reduce_window_min": (np.min, np.inf),
    "reduce_window_sum": (np.sum, 0),
}


def propagate(
    operation: Operation, operands: Sequence[Partial], types: Sequence[Any], marks: ChannelMarks
) -> list[Partial]:
    """The results of any operation but a contraction.

    What an operation of a kind that is not known makes of an operand that is not known is unknown, and channels that
    enter it are blocked.

    Args:
        operation: the operation.
        operands: its operands.
        types: shapes and dtypes of its results.
        marks: where channels that must stay are noted.
    """
    name, params = operation.name, operation.params
    if name in NUMPY or name in ELEMENTWISE or name == "select_n":
        return [_elementwise(operation, operands, types[0], marks)]
    if name in ARRANGEMENTS:
        return [_arranged(lambda *arrays: arranged(operation, *arrays), operands)]
    if name == "split":
        ends = np.cumsum(params["sizes"])[:-1]
        return [
            _arranged(lambda x, i=i: np.split(x, ends, params["axis"])[i], operands)
            for i in range(len(params["sizes"]))
        ]
    if name == "optimization_barrier":
        return list(operands)
    if name in _REDUCTIONS:
        return [_reduced(operation, operands[0], types[0], marks)]
    if name in _WINDOWS:
        return [_windowed(operation, operands[0], types[0], marks)]
    if name in ("gather", "dynamic_slice"):
        taken = _taken(operation, operands, types[0])
        if taken is not None:
            return [taken]
    return _other(operation, operands, types, marks)


def _elementwise(operation: Operation, operands: Sequence[Partial], kind: Any, marks: ChannelMarks) -> Partial:
    name, shape = operation.name, tuple(kind.shape)
    marked = marks.join(shape, [operand.marked for operand in operands])
    if name == "select_n":
        which, *cases = operands
        differ = _any(cases[0].value != case.value for case in cases)
        any_unknown = _any(case.unknown for case in cases)
        index = np.broadcast_to(which.value, shape).astype(int)
        value = np.choose(index, [np.broadcast_to(case.value, shape) for case in cases])
        chosen = np.choose(index, [np.broadcast_to(case.unknown, shape) for case in cases])
        lost = np.where(which.unknown, any_unknown | differ, chosen)
        return Partial(np.where(lost, np.zeros((), value.dtype), value), lost, marked)
    lost = np.broadcast_to(_any(operand.unknown for operand in operands), shape)
    zero = None
    if name in ("mul", "div"):
        factors = operands if name == "mul" else operands[:1]
        zero = _any(~factor.unknown & (factor.value == 0) for factor in factors)
        lost = lost & ~zero
    if lost.all():
        return unknown(shape, kind.dtype, marked)
    with np.errstate(all="ignore"):
        if name in NUMPY:
            value = NUMPY[name](operation.params, *(operand.value for operand in operands))
        else:
            value = computed(operation, [operand.value for operand in operands])[0]
    value = np.broadcast_to(np.asarray(value, kind.dtype), shape)
    nothing = lost if zero is None else lost | zero
    return Partial(np.where(nothing, np.zeros((), value.dtype), value) if nothing.any() else value, lost, marked)


def _any(arrays: Iterable[Any]) -> Any:
    return functools.reduce(np.logical_or, arrays)


def _arranged(arrange: Callable[..., np.ndarray], operands: Sequence[Partial]) -> Partial:
    marked = None
    if any(operand.marked is not None for operand in operands):
        zero = np.zeros((), np.int32)
        marked = arrange(*(np.broadcast_to(zero, x.value.shape) if x.marked is None else x.marked for x in operands))
    return Partial(arrange(*(x.value for x in operands)), arrange(*(x.unknown for x in operands)), marked)


def _reduced(operation: Operation, x: Partial, kind: Any, marks: ChannelMarks) -> Partial:
    name, axes = operation.name, tuple(operation.params["axes"])
    marked = None
    if x.marked is not None:
        shared = marks.common(x.marked, axes)
        marked = shared.reshape(kind.shape)
        lost = x.marked * (shared == 0)
        if name == "reduce_sum":
            lost = lost * (x.unknown | (x.value != 0))
        marks.block(lost, f"its values enter `{name}` over all channels")
    gone = x.unknown.any(axes)
    if gone.all():
        return unknown(kind.shape, kind.dtype, marked)
    value = np.asarray(_REDUCTIONS[name](x.value, axes), kind.dtype)
    return Partial(np.where(gone, np.zeros((), value.dtype), value), gone, marked)


def _windowed(operation: Operation, x: Partial, kind: Any, marks: ChannelMarks) -> Partial:
    name, params = operation.name, operation.params
    reduce, fill = _WINDOWS[name]
    sizes = ("window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation")

    def over(array: np.ndarray, outside: Any) -> np.ndarray:
        window, strides, padding, gaps, spread = (params[size] for size in sizes)
        return windows(array, window, strides, padding, gaps, spread, outside)

    inner = tuple(range(x.value.ndim, 2 * x.value.ndim))
    marked = None
    if x.marked is not None:
        touched = tuple(
            axis
            for axis, numbers in enumerate(zip(*(params[size] for size in sizes), strict=True))
            if numbers != (1, 1, (0, 0), 1, 1)
        )
        shared = marks.common(x.marked, touched)
        marks.block(x.marked * (shared == 0), f"its values enter `{name}` together with those of other channels")
        marked = np.broadcast_to(shared, kind.shape)
    gone = over(x.unknown, np.False_).any(inner)
    if gone.all():
        return unknown(kind.shape, kind.dtype, marked)
    value = np.asarray(reduce(over(x.value.astype(np.float64), fill), inner), kind.dtype)
    return Partial(np.where(gone, np.zeros((), value.dtype), value), gone, marked)


def _taken(operation: Operation, operands: Sequence[Partial], kind: Any) -> Partial | None:
    """Slices at positions: known ones, or unknown ones along axes on which nothing differs."""
    x, *places = operands
    if any(place.unknown.any() for place in places):
        x = _same_everywhere(operation, x)
        if x is None:
            return None
    starts = [np.where(place.unknown, np.zeros((), place.value.dtype), place.value) for place in places]

    def take(array: np.ndarray) -> np.ndarray:
        return computed(operation, [array, *starts])[0]

    lost = take(x.unknown.astype(np.int32)) != 0
    marked = None if x.marked is None else np.maximum(take(x.marked.astype(np.int32)), 0)
    return Partial(np.where(lost, np.zeros((), kind.dtype), take(x.value)), lost, marked)


def _same_everywhere(operation: Operation, x: Partial) -> Partial | None:
    """`x` with what differs along the axes in which positions are looked up as unknown; None if its marks differ."""
    if operation.name == "gather":
        axes = tuple(operation.params["dimension_numbers"].start_index_map)
    else:
        axes = tuple(i for i, size in enumerate(operation.params["slice_sizes"]) if size < x.value.shape[i])

    def differs(array: np.ndarray) -> np.ndarray:
        return array.min(axes, keepdims=True) != array.max(axes, keepdims=True)

    if x.marked is not None and differs(x.marked).any():
        return None
    lost = np.broadcast_to(x.unknown.any(axes, keepdims=True) | differs(x.value), x.value.shape)
    return Partial(np.where(lost, np.zeros((), x.value.dtype), x.value), lost, x.marked)


def _other(
    operation: Operation, operands: Sequence[Partial], types: Sequence[Any], marks: ChannelMarks
) -> list[Partial]:
    for operand in operands:
        marks.block(operand.marked, f"its values enter `{operation.name}`")
    plain = not any(jnp.issubdtype(kind.dtype, dtypes.extended) for kind in types)
    if plain and not any(operand.unknown.any() for operand in operands):
        results = computed(operation, [operand.value for operand in operands])
        return [known(np.asarray(result)) for result in results]
    return [unknown(kind.shape, kind.dtype) for kind in types]
