"""Functions whose values leave the range of floats, computed as float arrays times powers of two.

The output of a deep network without normalisation grows geometrically with depth: beyond 1e38 at some thirty layers,
beyond 1e138 at a hundred. No scaling of the input or of the weights helps, for the range is left on the way, and in a
residual network the paths through more layers would be scaled otherwise than those through fewer. Here every
intermediate value carries a power of two of its own, by which it is brought back to the size of one after each
operation. That is exact, whatever the network looks like, and so are derivatives: powers are constants to JAX's
differentiation, so that the gradient of the digits of a result is the gradient of the result over its power.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core as jaxprs

# The power of a value that is zero everywhere: lower than all others, so that it never decides in a sum.
_ZERO = -(2**20)
# Digits that may be larger than 2 to this power are brought back to the size of one.
_LARGEST = 40

# These act on every element alike or only move elements, so that the power stays as it is.
_MOVES = frozenset({
    "abs", "broadcast_in_dim", "convert_element_type", "copy", "dynamic_slice", "expand_dims", "gather", "neg",
    "reduce_max", "reduce_min", "reduce_precision", "reduce_window_max", "reduce_window_min", "reshape", "rev",
    "sharding_constraint", "slice", "split", "squeeze", "transpose",
})  # fmt: skip
_SUMS = frozenset({"cumsum", "reduce_sum", "reduce_window_sum"})
_PRODUCTS = frozenset({"conv_general_dilated", "dot_general", "mul"})
# These compare, add or join values, which must have one power for it.
_ALIGNED = frozenset({
    "add", "add_any", "clamp", "concatenate", "eq", "ge", "gt", "le", "lt", "max", "min", "ne", "pad", "select_n",
    "sub",
})  # fmt: skip
_CALLS = {
    "checkpoint": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "remat2": "jaxpr",
}


class Scaled(NamedTuple):
    """The array `digits * 2**power`.

    Attributes:
        digits: float array.
        power: int32 scalar.
        size: no magnitude in `digits` is larger than 2 to this power.
        exact: whether the largest magnitude is at least 1, or all are zero and the power is the lowest.
    """

    digits: jax.Array
    power: Any
    size: int = 1
    exact: bool = True


def evaluate(function: Callable[[Any, jax.Array], jax.Array], fixed: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`function(fixed, x)`, in the course of which no product, sum or maximum leaves the range of floats.

    What depends on `x` is scaled; what depends on `fixed` alone is computed as it is. Linear operations, products,
    sums, comparisons, maxima and choices between values keep any range, inside of `jit`, `remat` and functions with
    derivatives of their own too. Every other operation (an exponential, a loop) gets its operands as plain floats,
    infinite where they are too large.

    Args:
        function: a function that JAX can trace, of one array result.
        fixed: pytree of arrays, the first argument.
        x: float array, the second argument.

    Returns:
        Digits, a float array whose largest magnitude is in [1, 2), or that is zero, and their power, an int32 scalar:
        the result is `digits * 2**power`. Differentiable with respect to `fixed`, with the power taken as a constant.
    """
    traced = jax.make_jaxpr(function)(fixed, x)
    (result,) = _run(traced.jaxpr, traced.consts, [*jax.tree.leaves(fixed), _normal(x)])
    result = _exact(result)
    return result.digits, jnp.asarray(result.power, jnp.int32)


def _run(jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))

    def read(variable: Any) -> Any:
        if isinstance(variable, jaxprs.Literal):
            kind: Any = variable.aval
            return np.asarray(variable.val, kind.dtype)
        return values[variable]

    for equation in jaxpr.eqns:
        results = _apply(equation, [read(variable) for variable in equation.invars])
        values.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _apply(equation: Any, operands: list[Any]) -> list[Any]:
    """The results of one operation; those of floats are scaled where an operand is."""
    name = equation.primitive.name
    if not any(isinstance(operand, Scaled) for operand in operands):
        return _bind(equation, operands)
    first = operands[0]
    if name in _CALLS:
        inner = equation.params[_CALLS[name]]
        return _run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), operands)
    if name in _MOVES and isinstance(first, Scaled):
        results = _bind(equation, [first.digits, *operands[1:]])
        return [Scaled(result, first.power, first.size, exact=False) for result in results]
    if name in _SUMS and isinstance(first, Scaled):
        (result,) = _bind(equation, [first.digits])
        terms = math.prod(first.digits.shape)
        return [_bounded(result, first.power, first.size + math.ceil(math.log2(max(terms, 1))))]
    if name in _PRODUCTS or (name == "div" and isinstance(first, Scaled)):
        return [_product(equation, *operands)]
    if name in _ALIGNED:
        choice = operands[:1] if name == "select_n" else []
        return _aligned(equation, choice, operands[len(choice) :])
    results = _bind(equation, [_plain(operand) for operand in operands])
    return [_normal(result) if _is_float(result) else result for result in results]


def _bind(equation: Any, operands: Sequence[Any]) -> list[Any]:
    result = equation.primitive.bind(*operands, **equation.primitive.get_bind_params(equation.params))
    return list(result) if equation.primitive.multiple_results else [result]


def _product(equation: Any, a: Any, b: Any) -> Scaled:
    """Product or quotient; a plain operand is of any size that floats have, so that the result has to be looked at."""
    sign = -1 if equation.primitive.name == "div" else 1
    if isinstance(a, Scaled) and isinstance(b, Scaled):
        a, b = _exact(a), _exact(b)
        (result,) = _bind(equation, [a.digits, b.digits])
        return _normal(result, a.power + sign * b.power)
    (result,) = _bind(equation, [getattr(a, "digits", a), getattr(b, "digits", b)])
    return _normal(result, a.power if isinstance(a, Scaled) else sign * b.power)


def _aligned(equation: Any, choice: list[Any], operands: list[Any]) -> list[Any]:
    values = [_exact(operand) for operand in operands if not _is_zero(operand)]
    power = values[0].power
    if len(values) > 1:
        for value in values[1:]:
            power = lax.max(power, value.power)
        values = [value._replace(digits=_times_power(value.digits, value.power - power)) for value in values]
    rest = iter(values)
    digits = [operand if _is_zero(operand) else next(rest).digits for operand in operands]
    size = max(value.size for value in values) + (equation.primitive.name in ("add", "add_any", "sub"))
    results = _bind(equation, [*choice, *digits])
    return [_bounded(result, power, size) if _is_float(result) else result for result in results]


def _is_zero(operand: Any) -> bool:
    """Whether an operand is the literal zero, such as that of a ReLU, which has every power."""
    return isinstance(operand, np.ndarray) and operand.ndim == 0 and operand == 0


def _is_float(array: Any) -> bool:
    return jnp.issubdtype(array.dtype, jnp.floating)


def _bounded(digits: jax.Array, power: Any, size: int) -> Scaled:
    return _normal(digits, power) if size > _LARGEST else Scaled(digits, power, size, exact=False)


def _exact(operand: Any) -> Scaled:
    if not isinstance(operand, Scaled):
        return _normal(operand)
    return operand if operand.exact else _normal(operand.digits, operand.power)


def _plain(operand: Any) -> Any:
    if not isinstance(operand, Scaled):
        return operand
    half = lax.shift_right_arithmetic(operand.power, np.int32(1))  # one float holds a power of up to 127
    return _times_power(_times_power(operand.digits, half), operand.power - half)


def _normal(digits: Any, power: Any = None) -> Scaled:
    """`digits * 2**power` with digits of the size of one."""
    digits, power = jnp.asarray(digits), jnp.zeros((), jnp.int32) if power is None else power
    bits = lax.bitcast_convert_type(lax.stop_gradient(digits).astype(jnp.float32), jnp.int32)
    exponents = lax.shift_right_logical(lax.bitwise_and(bits, np.int32(0x7FFFFFFF)), np.int32(23)) - np.int32(127)
    # The power goes through the reduction too, so that it is a result of its own: compilers would copy a scalar sum
    # of all exponents before into every operation after, and take minutes over it.
    exponents = lax.clamp(np.int32(-126), exponents, np.int32(126)) + power
    exponents = lax.select(digits == 0, lax.full_like(exponents, _ZERO), exponents)
    largest = lax.reduce_max(exponents, tuple(range(digits.ndim)))
    shift = lax.select(largest == _ZERO, lax.full_like(largest, 0), power - largest)
    return Scaled(_times_power(digits, shift), largest)


def _times_power(digits: jax.Array, power: jax.Array) -> jax.Array:
    """`digits * 2**power` for one power; exact, but zero below a power of -126, and as for 127 above it."""
    biased = lax.clamp(np.int32(0), power + np.int32(127), np.int32(254))
    factor = lax.bitcast_convert_type(lax.shift_left(biased, np.int32(23)), jnp.float32)
    wide = jnp.promote_types(digits.dtype, jnp.float32)
    return (digits.astype(wide) * factor.astype(wide)).astype(digits.dtype)
