"""What a network costs: multiply-accumulates of its products and convolutions, counted in the trace."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import Jaxpr, JaxprEqn

from jaxticket.core.checks import check_function
from jaxticket.core.types import Inputs, Params
from jaxticket.tracing.jaxpr import called, operand_shapes, result_shapes


def macs(fn: Callable[..., Any], params: Params, *inputs: Inputs) -> int:
    """Multiply-accumulates of all matrix products and convolutions in one call of `fn`.

    Everything else (normalisation, activations, pooling) is not counted, as is usual in the literature. A convolution
    counts every position of its window, zeros that pad the border included; of the zeros that a transposed
    convolution puts between its inputs, none. A scan counts as often as it turns, a `while` loop once, and of the
    branches of a condition the dearest. Nothing is computed.

    Args:
        fn: a function that JAX can trace: (params, *inputs) -> any pytree of arrays.
        params: pytree of arrays or `jax.ShapeDtypeStruct`s, as for `channel_groups`.
        *inputs: pytrees of arrays or `jax.ShapeDtypeStruct`s. The number is for all of them: give a batch of 1 for
            the cost of one example.

    Returns:
        The number, exact.

    Example:
        >>> jt.macs(lambda params, x: x @ params["kernel"], {"kernel": jnp.ones((3, 4))}, jnp.ones((2, 3)))
        24
    """
    check_function("fn", fn)
    return _total(jax.make_jaxpr(fn)(params, *inputs).jaxpr)


def _total(jaxpr: Jaxpr) -> int:
    return sum(_of(equation) for equation in jaxpr.eqns)


def _of(equation: JaxprEqn) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (summed, _), _ = params["dimension_numbers"]
        shape = operand_shapes(equation)[0]
        return math.prod(result_shapes(equation)[0]) * math.prod(shape[axis] for axis in summed)
    if name == "conv_general_dilated":
        kernel, features = operand_shapes(equation)[1], params["dimension_numbers"].rhs_spec[0]
        per_output = math.prod(size for axis, size in enumerate(kernel) if axis != features)
        return math.prod(result_shapes(equation)[0]) * per_output // math.prod(params["lhs_dilation"])
    if name == "scan":
        return params["length"] * _total(params["jaxpr"].jaxpr)
    if name == "while":
        return _total(params["cond_jaxpr"].jaxpr) + _total(params["body_jaxpr"].jaxpr)
    if name == "cond":
        return max(_total(branch.jaxpr) for branch in params["branches"])
    inner = called(equation)
    return 0 if inner is None else _total(inner.jaxpr)
