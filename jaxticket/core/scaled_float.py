"""Functions whose values leave the range of floats, computed with a shared exponent per array (block floating point).

The output of a deep network without normalisation grows geometrically with depth: beyond 1e38 at some thirty layers,
beyond 1e138 at a hundred. No scaling of the input or of the weights helps, for the range is left on the way, and in a
residual network the paths through more layers would be scaled otherwise than those through fewer. Here every
intermediate array is a float mantissa times a power of two of its own, and is brought back to the size of one after
each operation. That is exact, whatever the network looks like, and so are derivatives: exponents are constants to
JAX's differentiation, so that the gradient of a result's mantissa is the gradient of the result over 2**exponent.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn

from jaxticket.tracing.jaxpr import bind, interpret

# The exponent of a value that is zero everywhere: lower than all others, so that it never decides in a sum.
_ZERO = -(2**20)
# Mantissas that may be larger than 2 to this power are brought back to the size of one.
_LARGEST = 40

# These act on every element alike or only move elements, so that the exponent stays as it is.
_SHAPE_OPS = frozenset({
    "abs", "broadcast_in_dim", "convert_element_type", "copy", "dynamic_slice", "expand_dims", "gather", "neg",
    "reduce_max", "reduce_min", "reduce_precision", "reduce_window_max", "reduce_window_min", "reshape", "rev",
    "sharding_constraint", "slice", "split", "squeeze", "transpose",
})  # fmt: skip
_SUMS = frozenset({"cumsum", "reduce_sum", "reduce_window_sum"})
_PRODUCTS = frozenset({"conv_general_dilated", "dot_general", "mul"})
# These compare, add or join values, which must have one exponent for it.
_ALIGNED = frozenset({
    "add", "add_any", "clamp", "concatenate", "eq", "ge", "gt", "le", "lt", "max", "min", "ne", "pad", "select_n",
    "sub",
})  # fmt: skip


class Scaled(NamedTuple):
    """The array `mantissa * 2**exponent`.

    Attributes:
        mantissa: float array.
        exponent: int32 scalar.
        size: no magnitude in `mantissa` is larger than 2 to this power.
        exact: whether the largest magnitude is at least 1, or all are zero and the exponent is the lowest.
    """

    mantissa: jax.Array
    exponent: Any
    size: int = 1
    exact: bool = True


def evaluate_scaled(
    function: Callable[[Any, jax.Array], jax.Array], fixed: Any, x: jax.Array
) -> tuple[jax.Array, jax.Array]:
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
        The mantissa, a float array whose largest magnitude is in [1, 2), or that is zero, and the exponent, an int32
        scalar: the result is `mantissa * 2**exponent`. Differentiable with respect to `fixed`, with the exponent taken
        as a constant.
    """
    traced = jax.make_jaxpr(function)(fixed, x)
    (result,) = interpret(traced, [*jax.tree.leaves(fixed), _normal(x)], _apply, enter=_enter)
    result = _exact(result)
    return result.mantissa, jnp.asarray(result.exponent, jnp.int32)


def _enter(equation: JaxprEqn, operands: Sequence[Any]) -> Sequence[Any] | None:
    """What no scaled operand reaches is computed as it is."""
    del equation
    return operands if any(isinstance(operand, Scaled) for operand in operands) else None


def _apply(equation: JaxprEqn, operands: Sequence[Any]) -> list[Any]:
    """The results of one operation; those of floats are scaled where an operand is."""
    name = equation.primitive.name
    if not any(isinstance(operand, Scaled) for operand in operands):
        return bind(equation, operands)
    first = operands[0]
    if name in _SHAPE_OPS and isinstance(first, Scaled):
        results = bind(equation, [first.mantissa, *operands[1:]])
        return [Scaled(result, first.exponent, first.size, exact=False) for result in results]
    if name in _SUMS and isinstance(first, Scaled):
        (result,) = bind(equation, [first.mantissa])
        terms = math.prod(first.mantissa.shape)
        return [_bounded(result, first.exponent, first.size + math.ceil(math.log2(max(terms, 1))))]
    if name in _PRODUCTS or (name == "div" and isinstance(first, Scaled)):
        return [_product(equation, *operands)]
    if name in _ALIGNED:
        choice = operands[:1] if name == "select_n" else []
        return _aligned(equation, choice, operands[len(choice) :])
    results = bind(equation, [_plain(operand) for operand in operands])
    return [_normal(result) if _is_float(result) else result for result in results]


def _product(equation: JaxprEqn, a: Any, b: Any) -> Scaled:
    """Product or quotient; a plain operand is of any size that floats have, so that the result has to be looked at."""
    sign = -1 if equation.primitive.name == "div" else 1
    if isinstance(a, Scaled) and isinstance(b, Scaled):
        a, b = _exact(a), _exact(b)
        (result,) = bind(equation, [a.mantissa, b.mantissa])
        return _normal(result, a.exponent + sign * b.exponent)
    (result,) = bind(equation, [getattr(a, "mantissa", a), getattr(b, "mantissa", b)])
    return _normal(result, a.exponent if isinstance(a, Scaled) else sign * b.exponent)


def _aligned(equation: JaxprEqn, choice: Sequence[Any], operands: Sequence[Any]) -> list[Any]:
    values = [_exact(operand) for operand in operands if not _is_zero(operand)]
    exponent = values[0].exponent
    if len(values) > 1:
        for value in values[1:]:
            exponent = lax.max(exponent, value.exponent)
        values = [value._replace(mantissa=_scale(value.mantissa, value.exponent - exponent)) for value in values]
    rest = iter(values)
    mantissas = [operand if _is_zero(operand) else next(rest).mantissa for operand in operands]
    size = max(value.size for value in values) + (equation.primitive.name in ("add", "add_any", "sub"))
    results = bind(equation, [*choice, *mantissas])
    return [_bounded(result, exponent, size) if _is_float(result) else result for result in results]


def _is_zero(operand: Any) -> bool:
    """Whether an operand is the literal zero, such as that of a ReLU, which has every exponent."""
    return isinstance(operand, np.ndarray) and operand.ndim == 0 and operand == 0


def _is_float(array: Any) -> bool:
    return jnp.issubdtype(array.dtype, jnp.floating)


def _bounded(mantissa: jax.Array, exponent: Any, size: int) -> Scaled:
    return _normal(mantissa, exponent) if size > _LARGEST else Scaled(mantissa, exponent, size, exact=False)


def _exact(operand: Any) -> Scaled:
    if not isinstance(operand, Scaled):
        return _normal(operand)
    return operand if operand.exact else _normal(operand.mantissa, operand.exponent)


def _plain(operand: Any) -> Any:
    if not isinstance(operand, Scaled):
        return operand
    half = lax.shift_right_arithmetic(operand.exponent, np.int32(1))  # one float holds an exponent of up to 127
    return _scale(_scale(operand.mantissa, half), operand.exponent - half)


def _normal(mantissa: Any, exponent: Any = None) -> Scaled:
    """`mantissa * 2**exponent` with a mantissa of the size of one."""
    mantissa, exponent = jnp.asarray(mantissa), jnp.zeros((), jnp.int32) if exponent is None else exponent
    bits = lax.bitcast_convert_type(lax.stop_gradient(mantissa).astype(jnp.float32), jnp.int32)
    exponents = lax.shift_right_logical(lax.bitwise_and(bits, np.int32(0x7FFFFFFF)), np.int32(23)) - np.int32(127)
    # The exponent goes through the reduction too, so that it is a result of its own: compilers would copy a scalar sum
    # of all exponents before into every operation after, and take minutes over it.
    exponents = lax.clamp(np.int32(-126), exponents, np.int32(126)) + exponent
    exponents = lax.select(mantissa == 0, lax.full_like(exponents, _ZERO), exponents)
    largest = lax.reduce_max(exponents, tuple(range(mantissa.ndim)))
    shift = lax.select(largest == _ZERO, lax.full_like(largest, 0), exponent - largest)
    return Scaled(_scale(mantissa, shift), largest)


def _scale(mantissa: jax.Array, exponent: jax.Array) -> jax.Array:
    """`mantissa * 2**exponent` for one exponent; exact, but zero below an exponent of -126, and as for 127 above it."""
    biased = lax.clamp(np.int32(0), exponent + np.int32(127), np.int32(254))
    factor = lax.bitcast_convert_type(lax.shift_left(biased, np.int32(23)), jnp.float32)
    wide = jnp.promote_types(mantissa.dtype, jnp.float32)
    return (mantissa.astype(wide) * factor.astype(wide)).astype(mantissa.dtype)
