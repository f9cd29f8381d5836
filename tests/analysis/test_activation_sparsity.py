import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket import analysis
from jaxticket.core.errors import MaskError
from jaxticket.recipes import soft_activation

pytestmark = [pytest.mark.feature("activations and dead units")]

# Three channels: always zero, near zero once and zero once, never small.
LAYER = jnp.array([[[0.0, 0.005, -3.0], [0.0, 0.0, 2.0]], [[-0.0, 1.0, 4.0], [0.0, -0.02, 5.0]]])


def test_rates_in_all_and_by_channel():
    found = analysis.activation_rates(LAYER, 0.01)
    np.testing.assert_allclose(found.channel_zero, [1, 0.25, 0])
    np.testing.assert_allclose(found.channel_near_zero, [1, 0.5, 0])
    assert (found.zero, found.near_zero) == (pytest.approx(5 / 12), pytest.approx(6 / 12))
    np.testing.assert_array_equal(found.dead, [True, False, False])


def test_the_threshold_itself_is_near_zero():
    assert analysis.activation_rates(jnp.array([[0.25, -0.25, 0.26]]), 0.25).near_zero == pytest.approx(2 / 3)


def test_batches_add_up_and_jit_does_no_harm():
    whole = analysis.activation_rates(LAYER)
    parts = [jax.jit(analysis.activation_rates)(part) for part in LAYER]
    jax.tree.map(np.testing.assert_array_equal, parts[0] + parts[1], whole)
    assert int(whole.values) == 4
    awake = analysis.activation_rates(jnp.ones((1, 3)))
    assert not (whole + awake).dead.any()


def test_tost_2_10_near_zero_of_swish_are_also_deep_negatives():
    """Swish is at most 0.01 in size for x < -6.471 and for -0.0202 <= x <= 0.0198."""
    x = jnp.array([-8.0, -6.472, -6.470, -1.0, -0.0203, -0.02019, 0.01979, 0.0199])
    found = analysis.activation_rates(soft_activation(x, "swish")[None], 1e-2)
    np.testing.assert_array_equal(found.channel_near_zero, [1, 1, 0, 0, 0, 1, 1, 0])


def test_tost_2_10_filters_of_mostly_nothing_are_empty():
    """A filter is one output channel; a weight below 1e-5 in size is none; a share of just 0.9 is not yet empty."""
    kernel = np.ones((2, 5, 2, 5), np.float32)  # 20 weights a filter
    for channel, zeros in enumerate((20, 19, 18, 0, 19)):
        kernel.reshape(-1, 5)[:zeros, channel] = 0
    kernel.reshape(-1, 5)[:19, 4] = -9e-6
    kernel.reshape(-1, 5)[:, 3] = -1  # far below 1e-5, but not small
    np.testing.assert_allclose(analysis.filter_zero_rates(kernel), [1, 0.95, 0.9, 0, 0.95])
    np.testing.assert_array_equal(analysis.empty_filters(kernel), [True, True, False, False, True])
    np.testing.assert_array_equal(analysis.empty_filters(kernel, 0.95), [True, False, False, False, False])
    np.testing.assert_array_equal(analysis.empty_filters(kernel, 0.9, tiny=1e-6), [True, True, False, False, False])


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(MaskError, match=r"threshold=-1\): must be at least 0"):
        analysis.activation_rates(LAYER, -1)
    with pytest.raises(MaskError, match="x is one number"):
        analysis.activation_rates(3.0)
    with pytest.raises(MaskError, match=r"threshold=1\): must be at least 0 and less than 1"):
        analysis.empty_filters(np.ones((2, 2)), 1)
    with pytest.raises(MaskError, match=r"tiny=0\): must be above 0"):
        analysis.empty_filters(np.ones((2, 2)), tiny=0)
    with pytest.raises(MaskError, match=r"shape \(2,\); must be"):
        analysis.empty_filters(np.ones(2))
