import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxticket import recipes
from jaxticket.core.errors import ConfigError
from jaxticket.training.losses import cross_entropy

pytestmark = [pytest.mark.feature("aids of training"), pytest.mark.smoke]


def loss(num_classes, *how):
    """Of logits that are zero but 2 at the label."""
    logits = jnp.zeros((1, num_classes)).at[0, 3].set(2.0)
    return float(optax.softmax_cross_entropy(logits, recipes.smoothed_targets(jnp.array([3]), num_classes, *how))[0])


@pytest.mark.parametrize(
    ("num_classes", "plain", "off_target", "uniform", "same"),
    [(10, 0.796614, 0.996614, 0.976614, 0.1 * 10 / 9), (100, 2.667103, 2.867103, 2.865103, 0.1 * 100 / 99)],
)
def test_tost_10_losses(num_classes, plain, off_target, uniform, same):
    assert loss(num_classes, 0.0) == pytest.approx(plain, abs=2e-6)
    assert loss(num_classes, 0.1) == pytest.approx(off_target, abs=2e-6)
    assert loss(num_classes, 0.1, "uniform") == pytest.approx(uniform, abs=2e-6)
    assert loss(num_classes, same, "uniform") == pytest.approx(off_target, abs=2e-6)


@pytest.mark.parametrize(("num_classes", "entropy"), [(10, 0.5448), (100, 0.7846)])
def test_tost_10_the_smoothed_loss_cannot_go_below_the_entropy(num_classes, entropy):
    targets = recipes.smoothed_targets(jnp.array([3]), num_classes, 0.1)
    assert float(optax.softmax_cross_entropy(jnp.log(targets), targets)[0]) == pytest.approx(entropy, abs=1e-4)


def test_uniform_is_the_smoothing_of_training():
    logits = jax.random.normal(jax.random.key(0), (4, 5))
    labels = jnp.array([0, 4, 2, 2])
    found = optax.softmax_cross_entropy(logits, recipes.smoothed_targets(labels, 5, 0.2, "uniform"))
    np.testing.assert_allclose(found, cross_entropy(logits, labels, 0.2), rtol=1e-6)


@pytest.mark.parametrize("kind", ["off_target", "uniform"])
@settings(deadline=None, max_examples=30)
@given(alpha=st.floats(0, 1, width=32))
def test_targets_are_probabilities_whatever_alpha(kind, alpha):
    targets = recipes.smoothed_targets(np.array([[0, 2], [3, 1]]), 4, alpha, kind)
    assert targets.shape == (2, 2, 4)
    assert targets.dtype == jnp.float32
    assert (targets >= 0).all()
    np.testing.assert_allclose(targets.sum(-1), 1, rtol=1e-6)


def test_alpha_zero_is_one_hot():
    smoothed = jax.jit(lambda alpha: recipes.smoothed_targets(jnp.array([1, 0]), 2, alpha))
    np.testing.assert_array_equal(smoothed(0.0), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(smoothed(0.25), [[0.25, 0.75], [0.75, 0.25]])


def test_what_makes_no_targets_is_refused():
    for arguments, message in [
        ((3, 0.1, "evenly"), "kind='evenly': must be one of off_target, uniform"),
        ((1, 0.1), "num_classes=1: must be at least 2"),
        ((3, 1.5), "alpha=1.5: must be from 0 to 1"),
    ]:
        with pytest.raises(ConfigError, match=message):
            recipes.smoothed_targets(jnp.array([0]), *arguments)
    with pytest.raises(ConfigError, match=r"labels are float32\[1\]; they must be integer classes"):
        recipes.smoothed_targets(jnp.array([0.0]), 3, 0.1)
