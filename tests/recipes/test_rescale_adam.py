import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.recipes.rescale_adam import initial_state, rescale_adam

pytestmark = [pytest.mark.feature("aids of training")]

RATE = 0.01


def steps(gradients_and_goals, floor=0.01):
    """The scale of one tensor after each step."""
    floors = jnp.full(1, floor)
    state, scales = initial_state(1), []
    step = jax.jit(lambda state, gradient, goal: rescale_adam(state, gradient, goal, rate=RATE, floors=floors))
    for gradient, goal in gradients_and_goals:
        state = step(state, jnp.full(1, gradient), goal)
        scales.append(float(state.scales[0]))
    return scales


def test_tost_13_rescale_adam():
    """Two goals have an average of gradients each, and squares in common; 2.5 is clipped to 1."""
    scales = steps([(0.1, 0), (-0.3, 0), (2.5, 1), (0.1, 0)])
    np.testing.assert_allclose(scales, [0.99, 0.9949419, 0.97843487, 0.97905818], atol=2e-7)


def test_tost_13_scales_stay_at_their_floor():
    scales = steps([(1.0, 0)] * 120)
    assert scales[97] > 0.01
    assert min(scales) == scales[-1] == np.float32(0.01)
    assert steps([(1.0, 0)] * 120, floor=0.0)[-1] == 0


def test_scale_without_gradient_stays_beside_one_that_moves():
    state = initial_state(2)
    for goal in (0, 1, 1):
        state = rescale_adam(state, jnp.array([0.0, 1.0]), jnp.int32(goal), rate=RATE, floors=jnp.zeros(2))
    assert state.scales[0] == 1
    assert state.scales[1] < 1
    np.testing.assert_array_equal(state.counts, [1, 2])
