import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.training.losses import cross_entropy, smoothing_of
from jaxticket.training.options import TrainOptions

pytestmark = [pytest.mark.feature("training"), pytest.mark.smoke]


def test_values_of_the_sanity_check_specification():
    logits, labels = jnp.array([[2.0, 1.0, 0.0]]), jnp.array([0])
    np.testing.assert_allclose(cross_entropy(logits, labels), [0.40761], atol=1e-5)
    np.testing.assert_allclose(cross_entropy(logits, labels, 0.1), [0.50761], atol=1e-5)


def test_half_precision_logits_are_summed_in_float32():
    logits = jnp.array([[20.0, 19.0, 0.0]], jnp.bfloat16)
    losses = cross_entropy(logits, jnp.array([1]))
    assert losses.dtype == jnp.float32
    np.testing.assert_allclose(losses, [1.3132617], rtol=1e-5)


@pytest.mark.parametrize(("classes", "plain", "smoothed"), [(10, 0.796614, 0.996614), (100, 2.667103, 2.867103)])
def test_smoothing_over_the_other_classes(classes, plain, smoothed):
    """ToST check 10: zero logits but 2 at the label; 0.1 of it is C / (C - 1) times as much of the uniform kind."""
    logits, label = jnp.zeros((1, classes)).at[0, 3].set(2.0), jnp.array([3])
    np.testing.assert_allclose(cross_entropy(logits, label, 0.0, "off_target"), [plain], atol=1e-5)
    np.testing.assert_allclose(cross_entropy(logits, label, 0.1, "off_target"), [smoothed], atol=1e-5)
    uniform = cross_entropy(logits, label, 0.1 * classes / (classes - 1))
    np.testing.assert_allclose(uniform, [smoothed], atol=1e-5)


def test_smoothing_may_fall_to_zero_at_the_end():
    falling = smoothing_of(TrainOptions(epochs=4, label_smoothing=0.2, smoothing_schedule="linear"), 5)
    np.testing.assert_allclose([falling(step) for step in (0, 5, 20)], [0.2, 0.15, 0.0], atol=1e-6)
    assert smoothing_of(TrainOptions(epochs=4, label_smoothing=0.2), 5)(jnp.int32(7)) == 0.2
