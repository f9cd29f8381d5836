import numpy as np
import pytest
from scipy import stats

from jaxticket import analysis
from jaxticket.core.errors import ConfigError

pytestmark = [pytest.mark.feature("statistics"), pytest.mark.smoke]


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
    a = dict(enumerate((0.51, 0.711, 0.912)))
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


@pytest.mark.parametrize(
    ("n", "confidence", "decides"),
    [(2, 0.95, False), (5, 0.95, False), (6, 0.95, True), (6, 0.99, False), (2, 0.5, True)],
)
@pytest.mark.parametrize("rounding", [0.0, 1e-16])
def test_equal_values_decide_where_their_sign_does(n, confidence, decides, rounding):
    """Whatever the spread, a threshold lies outside of the interval exactly where its p-value says so."""
    found = analysis.mean_interval([0.02 + seed * rounding for seed in range(n)], confidence)
    for threshold, side in ((0.0, "above"), (0.1, "below"), (0.02, None)):
        assert found.against(threshold) == (side if decides and side else "undecided")
        assert (found.against(threshold) != "undecided") == (analysis.p_value(found, threshold) <= 1 - confidence)
    assert (found.low, found.high) == ((found.mean, found.mean) if decides else (None, None))


@pytest.mark.parametrize("seed", range(5))
def test_an_interval_leaves_out_what_p_value_rejects(seed):
    found = analysis.mean_interval(np.random.default_rng(seed).normal(size=4).tolist())
    for threshold in np.linspace(-4, 4, 41):
        assert (found.against(threshold) != "undecided") == (analysis.p_value(found, threshold) <= 0.05)


def test_nothing_in_common_is_refused():
    with pytest.raises(ConfigError, match="no seed in common"):
        analysis.paired_difference({0: 1.0}, {1: 1.0})
    with pytest.raises(ConfigError, match="at least one"):
        analysis.mean_interval([])
