import pytest

from jaxticket import training

pytestmark = [pytest.mark.feature("training")]


def test_early_bird_2_6_exact_and_best_at_listed_epochs():
    metrics = [0.1, 0.5, 0.4, 0.5, 0.7, 0.6]
    saves = training.epoch_saves(metrics, (2, 4, 6))
    assert saves == {"exact2": 2, "best2": 2, "exact4": 4, "best4": 2, "exact6": 6, "best6": 5, "best": 5, "last": 6}


def test_epochs_that_were_not_reached_are_left_out():
    assert training.epoch_saves([0.1, 0.2], (1, 10)) == {"exact1": 1, "best1": 1, "best": 2, "last": 2}
    with pytest.raises(ValueError, match="at least one epoch"):
        training.epoch_saves([], (1,))


def test_means_are_those_of_the_examples():
    """Not sums of batch means over the number of examples, nor the last batch's (early-bird 2.8)."""
    assert training.weighted_mean([1.0, 4.0], [30, 10]) == 1.75
    with pytest.raises(ValueError, match="2 values and 1 counts"):
        training.weighted_mean([1.0, 4.0], [30])
    with pytest.raises(ValueError, match="sum to 0"):
        training.weighted_mean([1.0], [0])
