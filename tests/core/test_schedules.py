import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.core.errors import ConfigError
from jaxticket.core.schedules import cubic, exponential, geometric, linear

pytestmark = [pytest.mark.feature("schedules and gradual pruning"), pytest.mark.smoke]


def test_sanity_check_lth_5_targets_of_iterative_pruning() -> None:
    targets = [round(geometric(0.2)(level), 3) for level in range(1, 15)]
    assert targets == [
        0.2, 0.36, 0.488, 0.59, 0.672, 0.738, 0.79, 0.832, 0.866, 0.893, 0.914, 0.931, 0.945, 0.956,
    ]  # fmt: skip
    assert geometric(0.2)(0) == 0


def test_tost_3_exponential() -> None:
    density = [1 - exponential(0.9, 100)(k) for k in (1, 25, 50, 75, 100)]
    np.testing.assert_allclose(density, [0.977237, 0.562341, 0.316228, 0.177828, 0.1], atol=1e-6)
    density = [1 - exponential(0.9, 4)(k) for k in (1, 2, 3, 4)]
    np.testing.assert_allclose(density, [0.562341, 0.316228, 0.177828, 0.1], atol=1e-6)


def test_tost_3_linear() -> None:
    schedule = linear(0, 4, 0.0, 0.9)
    np.testing.assert_allclose([1 - schedule(k) for k in (1, 2, 3, 4)], [0.775, 0.55, 0.325, 0.1], atol=1e-12)
    assert schedule(-1) == 0
    assert schedule(9) == 0.9


def test_tost_3_cubic() -> None:
    quarters = [cubic(0, 4, 0.0, 0.9, 1)(k) for k in range(5)]
    np.testing.assert_allclose(quarters, [0, 0.5203125, 0.7875, 0.8859375, 0.9], atol=1e-12)
    schedule = cubic(100, 1100, 0.0, 0.9, 50)
    steps = [0, 99, 149, 150, 300, 599, 600, 1100, 5000]
    expected = [0, 0, 0, 0.128363, 0.4392, 0.750262, 0.7875, 0.9, 0.9]
    np.testing.assert_allclose([schedule(step) for step in steps], expected, atol=1e-6)


def test_cubic_starts_and_ends_as_asked() -> None:
    schedule = cubic(10, 25, 0.3, 0.8, 10)
    np.testing.assert_allclose([schedule(step) for step in (0, 10, 19)], 0.3)
    assert 0.3 < schedule(20) == schedule(24) < 0.8
    assert schedule(25) == 0.8


@pytest.mark.parametrize(
    "schedule", [geometric(0.2), exponential(0.9, 40), linear(3, 30, 0.1, 0.9), cubic(3, 30, 0.1, 0.9, 5)]
)
def test_traced_step_gives_same_and_never_less(schedule) -> None:
    steps = np.arange(41)
    values = jax.jit(schedule)(jnp.asarray(steps, jnp.int32))
    assert values.dtype == jnp.float32
    np.testing.assert_allclose(values, [schedule(int(step)) for step in steps], atol=1e-6)
    assert bool((values[1:] >= values[:-1]).all())


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: geometric(1.0), "rate=1.0"),
        (lambda: geometric(-0.1), "rate=-0.1"),
        (lambda: exponential(1.0, 3), "final=1.0"),
        (lambda: exponential(0.5, 0), "rounds=0"),
        (lambda: linear(5, 5, 0.0, 0.5), "end=5"),
        (lambda: linear(0, 5, 0.0, 1.5), "final=1.5"),
        (lambda: cubic(0, 5, -1.0, 0.5, 1), "initial=-1.0"),
        (lambda: cubic(0, 5, 0.0, 0.5, 0), "every=0"),
    ],
)
def test_an_impossible_schedule_is_named(make, named) -> None:
    with pytest.raises(ConfigError, match=named):
        make()
