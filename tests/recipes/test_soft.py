import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket import models, recipes
from jaxticket.core.errors import ConfigError
from jaxticket.recipes.soft import SOFT_ACTIVATIONS

pytestmark = [pytest.mark.feature("aids of training"), pytest.mark.smoke]

# Both sides of zero, zero itself with both signs, and far out.
X = jnp.array([-1e4, -30.0, -1.27846, -1.0, -1e-6, -0.0, 0.0, 1e-6, 0.5, 2.0, 30.0, 1e4])


def value_and_gradient(x, *how):
    value, pullback = jax.vjp(lambda x: recipes.soft_activation(x, *how), x)
    return value, pullback(jnp.ones_like(x))[0]


@pytest.mark.parametrize(
    ("kind", "beta", "expected"),
    [
        ("swish", 1.0, (-0.268941, -0.188770, 0.311230, 0.731059, 1.761594)),
        ("pswish", 2.0, (-0.119203, -0.134471, 0.365529, 0.880797, 1.964028)),
        ("mish", 1.0, (-0.303401, -0.220744, 0.375245, 0.865098, 1.943959)),
        ("gelu", 1.0, (-0.158655, -0.154269, 0.345731, 0.841345, 1.954500)),
        ("lisht", 1.0, (0.761594, 0.231059, 0.231059, 0.761594, 1.928055)),
    ],
)
def test_tost_9_values(kind, beta, expected):
    found = recipes.soft_activation(jnp.array([-1, -0.5, 0.5, 1, 2]), kind, beta)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_tost_9_distance_of_swish_from_relu():
    assert float(recipes.soft_activation(jnp.array(-0.5), "pswish", 10.0)) == pytest.approx(-0.003346, abs=1e-6)
    x = jnp.linspace(-20, 20, 400_001)
    for beta, distance in {1: 0.278465, 2: 0.139232, 5: 0.055693, 10: 0.027846, 100: 0.002785}.items():
        off = jnp.abs(recipes.soft_activation(x, "pswish", float(beta)) - jax.nn.relu(x)).max()
        assert float(off) == pytest.approx(distance, abs=1e-6)


def test_gradients_at_zero_and_lowest_points():
    zero = jnp.zeros(())
    for beta in (1.0, 20.0):
        assert float(value_and_gradient(zero, "swish", beta)[1]) == pytest.approx(0.5)
    assert float(value_and_gradient(zero, "mish")[1]) == pytest.approx(0.6)
    for kind, at, lowest in (("swish", -1.27846, -0.27846), ("mish", -1.19243, -0.30884)):
        value, gradient = value_and_gradient(jnp.array(at), kind)
        assert float(value) == pytest.approx(lowest, abs=1e-5)
        assert float(gradient) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kind", SOFT_ACTIVATIONS.names())
def test_blend_one_is_relu_bit_for_bit(kind, dtype):
    x = jnp.concatenate([X, jnp.array([-jnp.inf, jnp.inf])]).astype(dtype)
    expected, pullback = jax.vjp(jax.nn.relu, x)
    value, gradient = jax.jit(lambda x, beta, blend: value_and_gradient(x, kind, beta, blend))(x, 20.0, 1.0)
    assert value.dtype == dtype
    # As bytes, so that the sign of a zero counts.
    assert np.asarray(value).tobytes() == np.asarray(expected).tobytes()
    assert np.asarray(gradient).tobytes() == np.asarray(pullback(jnp.ones_like(x))[0]).tobytes()


def test_between_soft_and_hard_it_is_the_mixture():
    soft, hard = recipes.soft_activation(X, "mish"), jax.nn.relu(X)
    np.testing.assert_allclose(recipes.soft_activation(X, "mish", 1.0, 0.25), 0.75 * soft + 0.25 * hard, atol=1e-7)
    assert (recipes.soft_activation(X, "mish", 1.0, 0.0) == soft).all()


def test_annealed_network_is_compiled_once_and_ends_plain():
    model = models.create_model("lenet300", 10)
    params, state = models.init_variables(model, jax.random.key(0), (8, 8, 1))
    x = jax.random.uniform(jax.random.key(1), (4, 8, 8, 1))
    phase = recipes.soft_phase("pswish", 4)
    traced = []

    @jax.jit
    def logits(params, x, step):
        traced.append(step)
        beta, blend = phase(step)
        soft = models.with_activation(model, lambda x: recipes.soft_activation(x, "pswish", beta, blend))
        return models.apply_model(soft, params, state, x, train=True)[0]

    found = [logits(params, x, step) for step in range(6)]
    plain = jax.jit(lambda params, x: models.apply_model(model, params, state, x, train=True)[0])(params, x)
    assert len(traced) == 1
    off = [float(jnp.abs(each - plain).max()) for each in found]
    assert off[0] > off[1] > off[2] > off[3] > 0
    np.testing.assert_array_equal(found[4], plain)
    np.testing.assert_array_equal(found[5], plain)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match=r"kind='swoosh': must be one of swish, .*; did you mean 'swish'\?"):
        recipes.soft_activation(X, "swoosh")
