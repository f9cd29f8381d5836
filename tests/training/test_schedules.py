import dataclasses
import re

import jax
import numpy as np
import pytest

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import parse
from jaxticket.training.options import SCHEDULES, TrainOptions
from jaxticket.training.schedules import learning_rate, plateau_factor

pytestmark = [pytest.mark.feature("training"), pytest.mark.smoke]


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


def test_milestones_inside_warmup_do_not_act_on_it():
    options = TrainOptions(epochs=10, lr=1.0, schedule="milestones", milestones=(1,), warmup_steps=20)
    np.testing.assert_allclose(rates(options, [0, 10, 19, 20]), [0, 0.5, 0.95, 0.1], rtol=1e-6)


def test_cosine_goes_from_lr_to_zero_after_warmup():
    options = TrainOptions(epochs=160, lr=0.1, schedule="cosine")
    got = rates(options, [0, 10, 400, 800, 1200, 1600])
    np.testing.assert_allclose(got, [0.1, 0.09999, 0.085355, 0.05, 0.014645, 0.0], atol=1e-6)
    late = dataclasses.replace(options, warmup_epochs=5.0)
    got = rates(late, [0, 25, 50, 50 + 775, 1600])
    np.testing.assert_allclose(got, [0, 0.05, 0.1, 0.05, 0.0], atol=1e-6)


def test_constant():
    np.testing.assert_allclose(rates(TrainOptions(lr=0.3), [0, 10**6]), [0.3, 0.3], rtol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rate_is_float32_scalar_for_all_steps(schedule):
    options = dataclasses.replace(CIFAR, schedule=schedule, milestones=(80,) if schedule == "milestones" else ())
    function = learning_rate(options, steps_per_epoch=10, total_steps=1600)
    for rate in (function(3), jax.jit(function)(3)):
        assert rate.dtype == np.float32
        assert rate.shape == ()


def test_sanity_check_13_cosine_by_epochs():
    options = TrainOptions(epochs=90, lr=2.048, schedule="cosine", warmup_epochs=5.0, lr_update="epoch")
    expected = [0.4096, 0.8192, 2.048, 2.048, 2.0473, 0.000699]
    for within in (0, 9):  # the first and the last step of the epoch
        got = rates(options, [10 * epoch + within for epoch in (0, 1, 4, 5, 6, 89)], total_steps=900)
        np.testing.assert_allclose(got, expected, rtol=1e-3)


def test_rates_by_epoch_stand_still_within_one():
    options = TrainOptions(epochs=4, lr=1.0, schedule="milestones", milestones=(1.5,), lr_update="epoch")
    np.testing.assert_allclose(rates(options, [0, 14, 15, 19, 20], total_steps=40), [1, 1, 1, 1, 0.1], rtol=1e-6)


BY_EPOCH = TrainOptions(epochs=160, lr=0.1, lr_update="epoch")


def by_epoch(epochs, **changes):
    """The learning rates of epochs counted from 1."""
    options = dataclasses.replace(BY_EPOCH, **changes)
    options.check("train")
    return rates(options, [10 * (epoch - 1) for epoch in epochs])


def test_early_bird_check_15_step():
    np.testing.assert_allclose(by_epoch([1, 2, 3], schedule="step", step_epochs=1.0), [0.1, 0.01, 0.001], rtol=1e-5)
    got = by_epoch([1, 30, 31, 60, 61], schedule="step")
    np.testing.assert_allclose(got, [0.1, 0.1, 0.01, 0.01, 0.001], rtol=1e-5)


def test_early_bird_check_15_cosine():
    got = by_epoch([1, 2, 41, 81, 121, 160], schedule="cosine")
    np.testing.assert_allclose(got, [0.1, 0.09999, 0.085355, 0.05, 0.014645, 0.00001], atol=1e-6)


def test_early_bird_check_15_cosine_with_restarts():
    expected = [0.1, 0.09045, 0.06545, 0.03455, 0.00955]
    expected += [0.1, 0.09755, 0.09045, 0.07939, 0.06545, 0.05, 0.03455, 0.02061, 0.00955, 0.00245, 0.1]
    np.testing.assert_allclose(by_epoch(range(1, 17), schedule="cosine_restarts"), expected, atol=1e-5)
    # 5 + 10 + 20 + 40 epochs: the next restart.
    np.testing.assert_allclose(by_epoch([75, 76], schedule="cosine_restarts"), [0.000154, 0.1], atol=1e-6)
    equal = by_epoch(range(1, 12), schedule="cosine_restarts", restart_factor=1.0, min_lr=0.01)
    np.testing.assert_allclose(equal[[0, 5, 10]], 0.1, rtol=1e-6)
    np.testing.assert_allclose(equal[1:5], equal[6:10], rtol=1e-6)
    assert equal.min() > 0.01


def test_early_bird_check_15_cyclic():
    rising = [0.00001, 0.020008, 0.040006, 0.060004, 0.080002, 0.1, 0.090001]
    got = by_epoch(range(1, 17), schedule="cyclic", min_lr=1e-5)
    np.testing.assert_allclose(got[:7], rising, atol=1e-6)
    np.testing.assert_allclose(got[14:], [0.010009, 0.00001], atol=1e-6)


def test_early_bird_check_15_manual_milestones():
    got = by_epoch([80, 81, 120, 121], schedule="milestones", milestones=(80, 120))
    np.testing.assert_allclose(got, [0.1, 0.01, 0.01, 0.001], rtol=1e-5)


def test_early_bird_check_15_plateau():
    """A metric that stays as it is: drops at the 12th, the 23rd and the 34th call."""
    options = TrainOptions(lr=0.1, schedule="plateau", min_lr=5e-4)
    got = [0.1 * plateau_factor(options, [1.0] * calls) for calls in (1, 11, 12, 22, 23, 33, 34, 100)]
    np.testing.assert_allclose(got, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001, 0.0005, 0.0005], rtol=1e-6)


def test_plateau_waits_while_loss_falls_by_ten_thousandth():
    options = TrainOptions(lr=0.1, schedule="plateau", plateau_patience=2)
    assert plateau_factor(options, [0.999**k for k in range(100)]) == 1
    assert plateau_factor(options, [1 - 1e-6 * k for k in range(4)]) == pytest.approx(0.1)
    assert plateau_factor(options, [1.0, 1.0, 1.0, 0.5, 0.6, 0.6]) == 1


def test_colt_check_14_warm_up_of_no_one_and_three_epochs():
    options = TrainOptions(epochs=50, lr=0.1, schedule="milestones", milestones=(20, 30, 45), gamma=0.2)
    drops = rates(options, [4 * epoch for epoch in (0, 19, 20, 30, 45)], steps_per_epoch=4, total_steps=200)
    np.testing.assert_allclose(drops, [0.1, 0.1, 0.02, 0.004, 0.0008], rtol=1e-5)
    one = rates(dataclasses.replace(options, warmup_epochs=1), range(6), steps_per_epoch=4, total_steps=200)
    np.testing.assert_allclose(one, [0, 0.025, 0.05, 0.075, 0.1, 0.1], rtol=1e-5)
    three = rates(dataclasses.replace(options, warmup_epochs=3), [4, 12, 40], steps_per_epoch=4, total_steps=200)
    np.testing.assert_allclose(three, [0.1 / 3, 0.1, 0.1], rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_lr": 0.01}, "config.train.min_lr=0.01: only read with schedule 'cosine' or"),
        ({"step_epochs": 2.0}, "config.train.step_epochs=2.0: only read with schedule 'step', found 'constant'"),
        ({"schedule": "cosine", "plateau_patience": 3}, "only read with schedule 'plateau'"),
        ({"schedule": "cyclic", "min_lr": 0.2}, "config.train.min_lr=0.2: must be less than lr=0.1"),
    ],
)
def test_keys_that_nothing_reads_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        parse(TrainOptions, changes, "train")


def test_milestones_below_1_are_shares():
    options = TrainOptions(epochs=160, lr=0.1, schedule="milestones", milestones=(0.5, 0.75))
    steps = [0, 799, 800, 1199, 1200, 1599]
    np.testing.assert_array_equal(rates(options, steps), rates(CIFAR, steps))
    short = dataclasses.replace(options, epochs=5)
    got = rates(short, [0, 24, 25, 37, 38, 49], total_steps=50)
    np.testing.assert_allclose(got, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rtol=1e-6)


def test_run_cut_in_first_epoch_is_evaluated_once():
    TrainOptions(epochs=0, steps=2).check_length(4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"milestones": (10.0, 15.0)}, "milestones=(10.0, 15.0): must be less than the 10 epochs of training"),
        ({"milestones": (0.5, 5.0)}, "must be all shares of training below 1"),
        ({"milestones": (0.001,)}, "come to the steps 0 of 40"),
        ({"milestones": (0.5, 0.51)}, "come to the steps 20, 20 of 40"),
        ({"milestones": (0.99,)}, "come to the steps 40 of 40"),
        ({"milestones": (0.95,), "lr_update": "epoch"}, "come to the steps 40 of 40"),
        ({"milestones": (0.5,), "warmup_steps": 21}, "warmup_steps=21: 21 steps, must have ended at the first"),
        ({"milestones": (0.5,), "warmup_epochs": 6.0}, "warmup_epochs=6.0: 24 steps, must have ended"),
        ({"schedule": "cosine", "warmup_epochs": 10.0}, "warmup_epochs=10.0: must be less than the 10 epochs"),
        ({"schedule": "step", "step_epochs": 0.1}, "step_epochs=0.1: is less than a step"),
        ({"schedule": "cosine_restarts", "restart_epochs": 0.1}, "restart_epochs=0.1: is less than a step"),
        ({"schedule": "cyclic", "cycle_down_epochs": 0.1}, "cycle_down_epochs=0.1: is less than a step"),
    ],
)
def test_what_never_acts_is_refused(changes, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse(TrainOptions, {"epochs": 10, "schedule": "milestones", **changes}, "train").check_length(4)
