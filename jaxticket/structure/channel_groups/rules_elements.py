"""Rules for operations that act on every element alike: what is used at one position belongs together."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from jax.extend.core import JaxprEqn

from jaxticket.structure.channel_groups.traced import (
    NO_ORIGIN,
    Rule,
    Trace,
    Value,
    comes_from_size,
    new_value,
    pin_unknown,
)
from jaxticket.structure.channel_groups.union_find import Labels
from jaxticket.tracing.jaxpr import result_shapes

_NAMES = (
    "abs acos acosh add add_any and asin asinh atan atan2 atanh bitcast_convert_type cbrt ceil clamp clz complex conj "
    "convert_element_type copy copy_p cos cosh device_put digamma div eq erf erf_inv erfc exp exp2 expm1 floor ge gt "
    "igamma igammac imag integer_pow is_finite le lgamma log log1p logistic lt max min mul name ne neg nextafter not "
    "optimization_barrier or polygamma population_count pow pvary real reduce_precision rem round rsqrt select_n "
    "sharding_constraint shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square "
    "stop_gradient sub tan tanh xor"
)
# Their values are those of a stream of random numbers, or of none, and fit any size.
_SOURCES = (
    "empty random_bits random_clone random_fold_in random_seed random_split random_unwrap random_wrap threefry2x32"
)

_SCALARS: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "convert_element_type": float,
    "copy": float,
    "div": lambda a, b: a / b,
    "max": max,
    "min": min,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
    "pow": math.pow,
    "rsqrt": lambda a: 1 / math.sqrt(a),
    "sqrt": math.sqrt,
    "square": lambda a: a * a,
    "stop_gradient": float,
    "sub": lambda a, b: a - b,
}


def elements(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """Axes of operands of one rank are the same, but for those of size 1; a scalar has none."""
    if equation.primitive.name == "optimization_barrier":
        return list(operands)
    (shape,) = result_shapes(equation)
    if any(operand.shape and len(operand.shape) != len(shape) for operand in operands):
        return pin_unknown(trace, equation, operands)  # bits of a number become an axis
    whole = [operand for operand in operands if len(operand.shape) == len(shape)]
    axes: list[Labels] = []
    for axis in range(len(shape)):
        labels: Labels = None
        for operand in whole:
            labels = trace.ids.merge(labels, operand.axes[axis])
        axes.append(labels)
    origins = [reduce(frozenset.union, (operand.origins[axis] for operand in whole)) for axis in range(len(shape))]
    value = new_value(shape, axes, origins, operands)
    known: dict[str, Any] = {
        "scalar": _scalar(equation, operands),
        "scales": frozenset[float]().union(*(operand.scales for operand in operands)),
        "contracted": tuple(labels for operand in operands for labels in operand.contracted),
    }
    if equation.primitive.name in ("mul", "div"):
        known["scales"] |= _scaled(trace, operands)
    return [dataclasses.replace(value, **known)]


def _scaled(trace: Trace, operands: Sequence[Value]) -> frozenset[float]:
    """The numbers that a product has as factors; channels that they were computed from cannot go."""
    numbers = [operand.scalar for operand in operands if operand.scalar is not None]
    for operand in operands:
        pin_scaled(trace, operand.contracted, numbers)
    return frozenset(numbers)


def pin_scaled(trace: Trace, contracted: Sequence[Labels], scales: Sequence[float]) -> None:
    """Pins channels of which the number seems to scale their own sum of products, as in attention."""
    for labels in contracted:
        for scale in scales:
            if labels is not None and comes_from_size(scale, len(labels)):
                trace.ids.pin(labels, f"their sum of products is scaled by {scale:.6g}, which depends on their number")


def _scalar(equation: JaxprEqn, operands: Sequence[Value]) -> float | None:
    numbers = [operand.scalar for operand in operands]
    if equation.primitive.name == "integer_pow" and numbers[0] is not None:
        numbers.append(float(equation.params["y"]))
    function = _SCALARS.get("pow" if equation.primitive.name == "integer_pow" else equation.primitive.name)
    if function is None or any(number is None for number in numbers):
        return None
    try:
        return function(*numbers)
    except (ArithmeticError, ValueError):
        return None


def source(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """Values that are there in any size."""
    del trace
    return [
        new_value(shape, [None] * len(shape), [NO_ORIGIN] * len(shape), operands) for shape in result_shapes(equation)
    ]


def iota(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """Numbered positions: what is compared with them, such as one-hot targets, depends on its position."""
    del operands
    (shape,) = result_shapes(equation)
    dimension = equation.params["dimension"]
    axes: list[Labels] = [None] * len(shape)
    axes[dimension] = trace.ids.fixed(shape[dimension], "their positions are numbered (iota)")
    return [new_value(shape, axes, [NO_ORIGIN] * len(shape), [])]


RULES: dict[str, Rule] = {
    **dict.fromkeys(_NAMES.split(), elements),
    **dict.fromkeys(_SOURCES.split(), source),
    "iota": iota,
}
