import jax.numpy as jnp
import numpy as np

from jaxticket.training.losses import cross_entropy


def test_values_of_the_sanity_check_specification():
    logits, labels = jnp.array([[2.0, 1.0, 0.0]]), jnp.array([0])
    np.testing.assert_allclose(cross_entropy(logits, labels), [0.40761], atol=1e-5)
    np.testing.assert_allclose(cross_entropy(logits, labels, 0.1), [0.50761], atol=1e-5)


def test_half_precision_logits_are_summed_in_float32():
    logits = jnp.array([[20.0, 19.0, 0.0]], jnp.bfloat16)
    losses = cross_entropy(logits, jnp.array([1]))
    assert losses.dtype == jnp.float32
    np.testing.assert_allclose(losses, [1.3132617], rtol=1e-5)
