"""Running a traced function with other values: its operations one by one, the functions that it calls opened.

Whoever follows something through a function, such as exact zeros, exponents or the channels of a network, writes a
rule for one operation; here is the loop around it, and the one list of calls to look into.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

Value = TypeVar("Value")

_CALLS = {
    "checkpoint": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "remat2": "jaxpr",
}
"""Operations that run a function once on their operands -> the parameter that has it."""


def called(equation: JaxprEqn) -> ClosedJaxpr | None:
    """The function that an operation calls once on its operands, as `jit` does; None for all other operations.

    Loops and branches are no such calls.
    """
    if equation.primitive.name not in _CALLS:
        return None
    name = _CALLS[equation.primitive.name]
    inner = equation.params.get(name, equation.params.get("jaxpr"))
    return ClosedJaxpr(inner, ()) if isinstance(inner, Jaxpr) else inner


def bind(equation: JaxprEqn, operands: Sequence[Any]) -> list[Any]:
    """What JAX computes for an operation, with these operands in place of its own."""
    results = equation.primitive.bind(*operands, **equation.primitive.get_bind_params(equation.params))
    return list(results) if equation.primitive.multiple_results else [results]


def operand_shapes(equation: JaxprEqn) -> list[tuple[int, ...]]:
    """Shapes of the operands of an operation."""
    return [tuple(getattr(variable.aval, "shape", ())) for variable in equation.invars]


def result_shapes(equation: JaxprEqn) -> list[tuple[int, ...]]:
    """Shapes of the results of an operation."""
    return [tuple(getattr(variable.aval, "shape", ())) for variable in equation.outvars]


def _as_it_is(value: Any, kind: Any) -> Any:
    del kind
    return value


def _always(equation: JaxprEqn, operands: Sequence[Any]) -> Sequence[Any]:
    del equation
    return operands


def interpret(
    program: ClosedJaxpr,
    arguments: Sequence[Value],
    rule: Callable[[JaxprEqn, Sequence[Value]], Sequence[Value]],
    *,
    constant: Callable[[Any, Any], Value] = _as_it_is,
    enter: Callable[[JaxprEqn, Sequence[Value]], Sequence[Value] | None] = _always,
) -> list[Value]:
    """Runs a traced function with values of any kind, such as marks or intervals, in place of arrays.

    Args:
        program: from `jax.make_jaxpr`.
        arguments: a value for each of the program's inputs, in order.
        rule: (equation, operands) -> the results of one operation; `bind` is what JAX does. It is not asked about
            calls that are opened.
        constant: (array, its shape and dtype) -> the value that stands for an array of the program's own. Literals are
            NumPy arrays of rank zero. By default arrays stay as they are.
        enter: (equation, operands) of a call (see `called`) -> the values that its function is run with, or None, to
            have `rule` do it as a whole. By default every call is opened, with its operands.

    Returns:
        The values of the program's outputs, in order.
    """
    jaxpr = program.jaxpr
    values: dict[Any, Value] = dict(zip(jaxpr.invars, arguments, strict=True))
    for variable, array in zip(jaxpr.constvars, program.consts, strict=True):
        values[variable] = constant(array, variable.aval)

    def read(variable: Any) -> Value:
        if isinstance(variable, Literal):
            kind: Any = variable.aval
            return constant(np.asarray(variable.val, kind.dtype), kind)
        return values[variable]

    for equation in jaxpr.eqns:
        operands = [read(variable) for variable in equation.invars]
        inner = called(equation)
        given = None if inner is None else enter(equation, operands)
        if inner is None or given is None:
            results = rule(equation, operands)
        else:
            results = interpret(inner, given, rule, constant=constant, enter=enter)
        values.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]
