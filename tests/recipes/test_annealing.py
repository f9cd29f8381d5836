import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxticket import recipes
from jaxticket.core.errors import ConfigError

pytestmark = [pytest.mark.feature("aids of training"), pytest.mark.smoke]


def table(schedule, count):
    """The values of a schedule at steps 0, 1, ..."""
    return np.stack(jax.vmap(schedule)(jnp.arange(count)), axis=-1)


def test_pswish_sharpens_geometrically_then_is_relu():
    betas, blends = table(recipes.soft_phase("pswish", 11), 14).T
    np.testing.assert_allclose(betas[:11], 20 ** (np.arange(11) / 10), rtol=1e-6)
    assert betas[10] == 20
    np.testing.assert_array_equal(blends, [0] * 11 + [1] * 3)


def test_jump_of_pswish_is_at_most_0_014():
    x = jnp.linspace(-3, 3, 10_001)
    last, after = (recipes.soft_activation(x, "pswish", *recipes.soft_phase("pswish", 7)(step)) for step in (6, 7))
    assert 0.0139 < float(jnp.abs(last - after).max()) < 0.014


@pytest.mark.parametrize("kind", ["swish", "mish", "gelu"])
def test_the_other_kinds_blend_in_a_straight_line(kind):
    betas, blends = table(recipes.soft_phase(kind, 4), 7).T
    assert (betas == 1).all()
    np.testing.assert_array_equal(blends, [0, 0.25, 0.5, 0.75, 1, 1, 1])


def test_without_an_end_nothing_changes():
    betas, blends = table(recipes.soft_phase("pswish", None, (2.0, 20.0)), 3).T
    assert (betas == 2).all()
    assert not blends.any()
    assert recipes.annealed(0.1, None)(10**6) == np.float32(0.1)


def test_ghost_strength_falls_in_straight_line_to_zero():
    strength = recipes.annealed(1.0, 4)
    np.testing.assert_array_equal([strength(step) for step in range(7)], [1, 0.75, 0.5, 0.25, 0, 0, 0])
    assert strength(jnp.int32(3)).dtype == jnp.float32


@settings(deadline=None, max_examples=30)
@given(steps=st.integers(1, 10**6), share=st.floats(0, 1))
def test_schedules_end_exactly_within_their_range(steps, share):
    step = int(share * steps)
    assert 0 <= recipes.annealed(0.1, steps)(step) <= np.float32(0.1)
    assert recipes.annealed(0.1, steps)(steps) == 0
    for kind in ("pswish", "mish"):
        beta, blend = recipes.soft_phase(kind, steps)(step)
        assert 1 <= beta <= np.float32(20.00001)
        assert 0 <= blend <= 1
        assert recipes.soft_phase(kind, steps)(steps)[1] == 1


def test_what_no_schedule_can_have_is_refused():
    with pytest.raises(ConfigError, match="steps=0: must be at least 1, or None"):
        recipes.annealed(1.0, 0)
    with pytest.raises(ConfigError, match="steps=-1: must be at least 1"):
        recipes.soft_phase("swish", -1)
    with pytest.raises(ConfigError, match=r"betas=\(0.0, 20.0\): both must be above 0"):
        recipes.soft_phase("pswish", 5, (0.0, 20.0))
    with pytest.raises(ConfigError, match="kind='relu': must be one of"):
        recipes.soft_phase("relu", 5)
