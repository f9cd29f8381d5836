import pytest

from jaxticket import analysis
from jaxticket.core.errors import ConfigError

pytestmark = [pytest.mark.feature("sanity checks"), pytest.mark.smoke]

# A secondary prize: the ticket beats random reinitialisation and matches dense at a small rate, not at dense's best.
SECONDARY = {
    "dense": {0.01: 0.903, 0.1: 0.924},
    "lt": {0.01: 0.900, 0.1: 0.873},
    "rr": {0.01: 0.850, 0.1: 0.870},
    "small_dense": {0.01: 0.840, 0.1: 0.860},
    "sparsity": 0.914,
}


def decide(**changes):
    return analysis.verdict(**{**SECONDARY, **changes})


def test_the_kinds():
    assert decide().kind == "secondary"
    assert decide(lt={0.01: 0.900, 0.1: 0.920}).kind == "jackpot"
    assert decide(lt={0.01: 0.870, 0.1: 0.873}).kind == "none"
    assert decide().conditions == {1: True, 2: True, 3: True, 4: True, 5: False}


def test_differences_count_as_decimals():
    # In binary, 0.93 - 0.925 is a little more than 0.005.
    exactly_the_tolerance = decide(dense={0.1: 0.93}, lt={0.1: 0.925})
    assert exactly_the_tolerance.conditions[5]
    assert exactly_the_tolerance.margins[5] == 0
    exactly_the_gap = decide(lt={0.1: 0.93}, rr={0.1: 0.925}, small_dense={0.1: 0.925}, dense={0.1: 0.9})
    assert not exactly_the_gap.conditions[2]
    assert not exactly_the_gap.conditions[3]
    # A mean of floats: a third of 2.79 is 0.9299999999999999 or so.
    noisy = decide(dense={0.1: sum([0.93, 0.93, 0.93]) / 3}, lt={0.1: 0.925})
    assert noisy.conditions[5]


def test_each_condition_decides_alone():
    jackpot = {"lt": {0.01: 0.910, 0.1: 0.924}}
    assert decide(**jackpot).kind == "jackpot"
    assert decide(**jackpot, sparsity=0.5).kind == "none"
    assert decide(**jackpot, small_dense={0.1: 0.92}).conditions[2] is False
    # The best random network of any rate counts, not the one at the ticket's rate.
    assert decide(**jackpot, rr={0.01: 0.93, 0.1: 0.1}).conditions[3] is False
    # Condition 4 looks at one rate, condition 5 at the best dense network.
    worse = decide(lt={0.01: 0.900})
    assert (worse.conditions[4], worse.conditions[5]) == (True, False)
    assert worse.by_rate[4] == {0.01: pytest.approx(0.002)}
    assert worse.by_rate[5] == {0.01: pytest.approx(-0.019)}


def test_tolerance_gap_and_least_sparsity_are_the_users():
    assert decide(tolerance=0.05).kind == "jackpot"
    assert decide(gap=0.05).kind == "none"
    assert decide(min_sparsity=0.95).kind == "none"


def test_a_single_rate_may_be_asked_for():
    # 0.01 satisfies condition 4 alone, 0.1 conditions 3 and 5 alone.
    split = {"dense": {0.01: 0.80, 0.1: 0.93}, "lt": {0.01: 0.80, 0.1: 0.90}, "rr": {0.01: 0.5, 0.1: 0.85}}
    split["small_dense"] = {0.1: 0.5}
    assert decide(**split, tolerance=0.01).kind == "secondary"
    assert decide(**split, tolerance=0.01, single_lr=True).kind == "none"
    assert decide(**split, tolerance=0.04, single_lr=True).kind == "jackpot"


@pytest.mark.parametrize(
    ("unknown", "condition", "word"),
    [("small_dense", 2, "small dense"), ("rr", 3, "other initial"), ("dense", 4, "dense network")],
)
def test_what_is_missing_is_named_and_decides_nothing(unknown, condition, word):
    verdict = decide(**{unknown: None})
    assert verdict.kind == "undecided"
    assert verdict.conditions[condition] is None
    assert verdict.margins[condition] is None
    assert any(word in what for what in verdict.missing)


def test_failed_condition_decides_even_when_another_is_unknown():
    verdict = decide(small_dense=None, rr={0.1: 0.99})
    assert verdict.kind == "none"
    assert verdict.missing


def test_rates_that_do_not_meet_are_missing_too():
    verdict = decide(dense={0.3: 0.9})
    assert verdict.kind == "undecided"
    assert any("both" in what for what in verdict.missing)


def test_percent_instead_of_shares_is_refused():
    with pytest.raises(ConfigError, match=r"rr=\{0\.1: 87\.0\}.*\[0, 1\]"):
        decide(rr={0.1: 87.0})
