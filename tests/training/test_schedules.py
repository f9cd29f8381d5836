import dataclasses

import jax
import numpy as np
import pytest

from jaxticket.training.options import TrainOptions
from jaxticket.training.schedules import learning_rate


def rates(options, steps, *, steps_per_epoch=10, total_steps=1600):
    schedule = jax.jit(learning_rate(options, steps_per_epoch=steps_per_epoch, total_steps=total_steps))
    return np.array([schedule(step) for step in steps])


CIFAR = TrainOptions(epochs=160, lr=0.1, schedule="milestones", milestones=(80, 120))


def test_sanity_check_13_milestones_fall_at_epoch_boundaries():
    got = rates(CIFAR, [0, 799, 800, 1199, 1200, 1599])
    np.testing.assert_allclose(got, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rtol=1e-6)


def test_sanity_check_13_warmup_does_not_shift_milestones():
    options = dataclasses.replace(CIFAR, warmup_epochs=75, warmup_lr=0.001)
    got = rates(options, [0, 375, 750, 799, 800, 1200])
    np.testing.assert_allclose(got, [0.001, 0.0505, 0.1, 0.1, 0.01, 0.001], rtol=1e-5)


def test_milestones_inside_the_warmup_do_not_act_on_it():
    options = TrainOptions(epochs=10, lr=1.0, schedule="milestones", milestones=(1,), warmup_steps=20)
    np.testing.assert_allclose(rates(options, [0, 10, 19, 20]), [0, 0.5, 0.95, 0.1], rtol=1e-6)


def test_cosine_goes_from_lr_to_zero_and_starts_after_the_warmup():
    options = TrainOptions(epochs=160, lr=0.1, schedule="cosine")
    got = rates(options, [0, 10, 400, 800, 1200, 1600])
    np.testing.assert_allclose(got, [0.1, 0.09999, 0.085355, 0.05, 0.014645, 0.0], atol=1e-6)
    late = dataclasses.replace(options, warmup_epochs=5.0)
    got = rates(late, [0, 25, 50, 50 + 775, 1600])
    np.testing.assert_allclose(got, [0, 0.05, 0.1, 0.05, 0.0], atol=1e-6)


def test_constant():
    np.testing.assert_allclose(rates(TrainOptions(lr=0.3), [0, 10**6]), [0.3, 0.3], rtol=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "milestones", "cosine"])
def test_rate_is_a_float32_scalar_for_traced_and_plain_steps(schedule):
    options = dataclasses.replace(CIFAR, schedule=schedule, milestones=(80,) if schedule == "milestones" else ())
    function = learning_rate(options, steps_per_epoch=10, total_steps=1600)
    for rate in (function(3), jax.jit(function)(3)):
        assert rate.dtype == np.float32
        assert rate.shape == ()


def test_sanity_check_13_cosine_by_epochs():
    options = TrainOptions(epochs=90, lr=2.048, schedule="cosine", warmup_epochs=5.0, lr_every="epoch")
    expected = [0.4096, 0.8192, 2.048, 2.048, 2.0473, 0.000699]
    for within in (0, 9):  # the first and the last step of the epoch
        got = rates(options, [10 * epoch + within for epoch in (0, 1, 4, 5, 6, 89)], total_steps=900)
        np.testing.assert_allclose(got, expected, rtol=1e-3)


def test_rates_by_epoch_stand_still_within_one():
    options = TrainOptions(epochs=4, lr=1.0, schedule="milestones", milestones=(1.5,), lr_every="epoch")
    np.testing.assert_allclose(rates(options, [0, 14, 15, 19, 20], total_steps=40), [1, 1, 1, 1, 0.1], rtol=1e-6)
