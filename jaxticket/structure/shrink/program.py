"""A traced function as one flat list of operations, with the calls in it opened."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import JaxprEqn

from jaxticket.core.paths import path_string
from jaxticket.core.types import Inputs, Params, Path
from jaxticket.tracing.jaxpr import interpret


@dataclasses.dataclass(frozen=True, eq=False)
class Operation:
    """One operation; operands and results are numbers of values.

    Attributes:
        equation: what JAX knows of it: primitive and parameters.
        operands: numbers of the values that it reads.
        results: numbers of the values that it makes.
    """

    equation: JaxprEqn
    operands: tuple[int, ...]
    results: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of the primitive."""
        return self.equation.primitive.name

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the primitive."""
        return self.equation.params


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """What a function does with its parameters and inputs.

    Attributes:
        operations: in the order in which they run.
        leaves: number of the value of each leaf of the parameters, by path.
        constants: number -> array, what the function brings along.
        types: shape and dtype of every value, by number.
        results: numbers of the values that the function returns.
        updates: those among them that are the new value of a leaf, such as a running mean.
    """

    operations: list[Operation]
    leaves: dict[Path, int]
    constants: dict[int, Any]
    types: list[Any]
    results: list[int]
    updates: set[int]


def program_of(fn: Callable[..., Any], params: Params, inputs: Sequence[Inputs]) -> Program:
    """The operations of `fn(params, *inputs)`; both may be abstract."""
    traced, returned = jax.make_jaxpr(fn, return_shape=True)(params, *inputs)
    program = Program([], {}, {}, [], [], set())

    def number_of(kind: Any) -> int:
        program.types.append(kind)
        return len(program.types) - 1

    def constant(array: Any, kind: Any) -> int:
        number = number_of(kind)
        program.constants[number] = array
        return number

    def note(equation: JaxprEqn, operands: Sequence[int]) -> Sequence[int]:
        results = tuple(number_of(variable.aval) for variable in equation.outvars)
        program.operations.append(Operation(equation, tuple(operands), results))
        return results

    arguments = [number_of(variable.aval) for variable in traced.jaxpr.invars]
    keyed = jax.tree_util.tree_flatten_with_path(params)[0]
    program.leaves.update({path_string(keys): number for (keys, _), number in zip(keyed, arguments, strict=False)})
    program.results.extend(interpret(traced, arguments, note, constant=constant))
    for (keys, kind), number in zip(jax.tree_util.tree_flatten_with_path(returned)[0], program.results, strict=True):
        for path, leaf in program.leaves.items():
            if f"/{path_string(keys)}".endswith(f"/{path}") and program.types[leaf].shape == kind.shape:
                program.updates.add(number)
    return program
