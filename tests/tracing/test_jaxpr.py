import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.tracing.jaxpr import bind, called, interpret

pytestmark = [pytest.mark.feature("traced functions"), pytest.mark.smoke]

X = jnp.arange(1.0, 4.0)


@jax.custom_jvp
def with_jvp(x):
    return jnp.sin(x) * 2


with_jvp.defjvp(lambda primals, tangents: (with_jvp(*primals), tangents[0]))


@jax.custom_vjp
def with_vjp(x):
    return jnp.sin(x) * 2


with_vjp.defvjp(lambda x: (with_vjp(x), None), lambda saved, gradient: (gradient,))

CALLS = {
    "jit": jax.jit(lambda x: jnp.sin(x) * 2),
    "remat": jax.checkpoint(lambda x: jnp.sin(x) * 2),
    "custom_jvp": with_jvp,
    "custom_vjp": with_vjp,
    "nested": jax.jit(lambda x: jax.checkpoint(with_jvp)(x)),
    "plain": lambda x: jnp.sin(x) * 2,
}


def names_of(function, **how):
    """The names of the operations that a rule sees, and the function's result by JAX's own operations."""
    seen = []

    def rule(equation, operands):
        seen.append(equation.primitive.name)
        return bind(equation, operands)

    (result,) = interpret(jax.make_jaxpr(function)(X), [X], rule, **how)
    return seen, result


@pytest.mark.parametrize("name", CALLS)
def test_calls_are_opened(name):
    seen, result = names_of(CALLS[name])
    assert seen == ["sin", "mul"]
    np.testing.assert_array_equal(result, CALLS[name](X))


def test_a_rule_can_keep_calls():
    seen, result = names_of(lambda x: CALLS["jit"](x) + 1, enter=lambda equation, operands: None)
    assert seen == ["jit", "add"]
    np.testing.assert_array_equal(result, CALLS["jit"](X) + 1)


def test_enter_changes_what_a_call_gets():
    _, result = names_of(CALLS["jit"], enter=lambda equation, operands: [operands[0] + 1])
    np.testing.assert_array_equal(result, CALLS["jit"](X + 1))


def test_constants_become_values_with_their_types():
    table = np.arange(3.0, dtype=np.float32)
    program = jax.make_jaxpr(lambda x: x * table + 2)(X)
    seen = []

    def constant(array, kind):
        seen.append((np.shape(array), kind.shape, kind.dtype, np.asarray(array).dtype))
        return "known"

    (result,) = interpret(program, ["input"], lambda equation, operands: ["+".join(operands)], constant=constant)
    assert result == "input+known+known"
    assert seen == [((3,), (3,), jnp.float32, np.float32), ((), (), jnp.float32, np.float32)]


def test_loops_and_branches_are_no_calls():
    def function(x):
        x = jax.lax.fori_loop(0, 3, lambda i, x: x * 2, x)
        return jax.lax.cond(x[0] > 0, jnp.sin, jnp.cos, x)

    equations = jax.make_jaxpr(function)(X).jaxpr.eqns
    assert {equation.primitive.name for equation in equations} >= {"scan", "cond"}
    assert all(called(equation) is None for equation in equations)
