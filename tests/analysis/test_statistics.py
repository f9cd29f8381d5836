import numpy as np
import pytest
from scipy import stats

from jaxticket import analysis
from jaxticket.core.errors import ConfigError


def test_paired_difference_is_students():
    rng = np.random.default_rng(0)
    a = {seed: float(value) for seed, value in enumerate(rng.normal(size=6))}
    b = {seed: float(value) for seed, value in enumerate(rng.normal(size=6))}
    found = analysis.paired_difference(a, b)
    expected = stats.ttest_rel(list(a.values()), list(b.values())).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.n == 6


def test_only_seeds_that_both_have_are_compared():
    found = analysis.paired_difference({0: 1.0, 1: 2.0, 5: 100.0}, {1: 1.5, 0: 0.0, 7: -100.0})
    assert found.mean == pytest.approx(0.75)
    assert found.n == 2


def test_pairing_removes_what_the_seeds_share():
    a = {seed: value + 0.01 for seed, value in enumerate((0.5, 0.7, 0.9))}
    b = dict(enumerate((0.5, 0.7, 0.9)))
    assert analysis.paired_difference(a, b).against(0.005) == "above"
    assert analysis.mean_interval(list(a.values())).against(0.7) == "undecided"


def test_one_seed_decides_nothing():
    found = analysis.mean_interval([0.9])
    assert (found.low, found.high, found.std) == (None, None, None)
    assert found.against(0.1) == "undecided"


def test_against_both_sides():
    found = analysis.mean_interval([0.1, 0.11, 0.12])
    assert found.against(0.5) == "below"
    assert found.against(0.01) == "above"


def test_nothing_in_common_is_refused():
    with pytest.raises(ConfigError, match="no seed in common"):
        analysis.paired_difference({0: 1.0}, {1: 1.0})
    with pytest.raises(ConfigError, match="at least one"):
        analysis.mean_interval([])
