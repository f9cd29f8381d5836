"""ADMM's pruned copy, multipliers and penalty."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.core.admm import admm_penalty, start_admm, update_admm

pytestmark = [pytest.mark.feature("schedules and gradual pruning")]

MASK = {"w": jnp.ones(4, bool)}


def weights(*values):
    return {"w": jnp.asarray(values, jnp.float32), "b": jnp.ones(2)}


def test_sanity_check_lth_17_two_steps():
    """Sanity checks, check 17: ratio 0.5, rho 0.001."""
    first = weights(0.5, -0.2, 0.9, 0.1)
    memory = start_admm(first, MASK, sparsity=0.5)
    np.testing.assert_allclose(memory.z["w"], [0.5, 0, 0.9, 0])
    np.testing.assert_allclose(memory.u["w"], 0)
    assert float(admm_penalty(first, MASK, memory, 0.001)) == pytest.approx(2.5e-5, rel=1e-5)
    second = weights(0.45, -0.3, 0.8, 0.05)
    memory = update_admm(second, MASK, memory, sparsity=0.5)
    np.testing.assert_allclose(memory.z["w"], [0.45, 0, 0.8, 0])
    np.testing.assert_allclose(memory.u["w"], [0, -0.3, 0, 0.05])
    assert float(admm_penalty(second, MASK, memory, 0.001)) == pytest.approx(1.85e-4, rel=1e-5)
    third = weights(0.4, -0.3, 0.8, 0.1)  # W + U is 0.4, -0.6, 0.8, 0.15: the multiplier decides
    memory = update_admm(third, MASK, memory, sparsity=0.5)
    np.testing.assert_allclose(memory.z["w"], [0, -0.6, 0.8, 0], atol=1e-7)
    np.testing.assert_allclose(memory.u["w"], [0.4, 0, 0, 0.15], atol=1e-7)


def test_the_gradient_of_the_penalty_draws_towards_copy():
    params = weights(0.5, -0.2, 0.9, 0.1)
    memory = start_admm(params, MASK, sparsity=0.5)
    gradient = jax.grad(lambda p: admm_penalty(p, MASK, memory, 0.1))(params)
    np.testing.assert_allclose(gradient["w"], [0, -0.02, 0, 0.01], atol=1e-7)
    assert not gradient["b"].any()
