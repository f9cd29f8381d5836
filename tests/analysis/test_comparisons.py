"""Differences of a whole study, against computations by hand and by SciPy."""

import numpy as np
import pytest
from scipy import stats

from jaxticket import analysis
from jaxticket.analysis import Pair
from jaxticket.core.errors import ConfigError

pytestmark = [pytest.mark.feature("statistics")]


def row(branch, level, seed, accuracy, **case):
    return {"branch": branch, "level": level, "seed": seed, "test_accuracy": accuracy, **case}


def study(seeds=6, levels=8):
    """Levels whose effects grow from nothing to far above the noise."""
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.01, (levels + 1, 2, seeds))
    return [
        row(branch, level, seed, float(0.8 + noise[level, number, seed] + (1 - number) * 0.005 * (level - 1)))
        for level in range(1, levels + 1)
        for number, branch in enumerate(("imp", "rr_imp"))
        for seed in range(seeds)
    ]


def test_p_values_are_those_of_paired_t_test():
    rows = study()
    for found in analysis.compare(rows, [Pair("imp", "rr_imp")]):
        a, b = (
            [one["test_accuracy"] for one in rows if (one["branch"], one["level"]) == (branch, found.level)]
            for branch in ("imp", "rr_imp")
        )
        expected = stats.ttest_rel(a, b)
        assert found.p == pytest.approx(expected.pvalue)
        interval = expected.confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_holm_is_the_step_down_procedure():
    # The worked example 0.01, 0.04, 0.03, 0.005 of four tests.
    assert analysis.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert analysis.holm([0.3, 0.9]) == pytest.approx([0.6, 0.9])
    assert analysis.holm([]) == []
    # What cannot be tested was tried all the same.
    assert analysis.holm([0.01, None]) == [0.02, None]


@pytest.mark.parametrize("seed", range(4))
def test_what_holm_settles_is_what_the_procedure_rejects(seed):
    values = np.random.default_rng(seed).beta(0.3, 3, size=12).tolist()
    rejected = set()
    for step, index in enumerate(np.argsort(values)):
        if values[index] > 0.05 / (len(values) - step):
            break
        rejected.add(int(index))
    assert {index for index, p in enumerate(analysis.holm(values)) if p <= 0.05} == rejected
    assert 0 < len(rejected) < len(values)


def test_corrected_interval_excludes_zero_where_it_is_settled():
    found = analysis.compare(study(), [Pair("imp", "rr_imp")])
    settled = [one.settled for one in found]
    assert any(settled)
    assert not all(settled)
    assert any(one.low > 0 and not one.settled for one in found)  # the correction tells
    for one in found:
        assert one.settled == (one.low_holm > 0 or one.high_holm < 0)
        assert one.low_holm <= one.low
        assert one.comparisons == len(found) == 8


def test_pairs_of_a_study_are_one_family():
    rows = [*study(), *(row("dense", 0, seed, 0.8) for seed in range(6))]
    alone = analysis.compare(rows, [Pair("imp", "rr_imp")])
    both = analysis.compare(rows, [Pair("imp", "rr_imp"), Pair("imp", "dense", control_level=0)])
    assert [one.control for one in both] == ["rr_imp"] * 8 + ["dense"] * 8
    assert {one.comparisons for one in both} == {16}
    assert all(one.p_holm <= other.p_holm for one, other in zip(alone, both, strict=False))


def test_only_networks_of_one_case_are_compared():
    rows = [
        row(branch, level, seed, 0.5 + 0.1 * lr + shift + 0.01 * seed * level, lr=lr)
        for branch, shift in (("lt", 0.02), ("rr", 0.0))
        for level in (1, 2)
        for lr in (0.1, 1.0)
        for seed in (0, 1)
    ]
    found = analysis.compare(rows, [Pair("lt", "rr", case=("lr",)), Pair("lt", "absent", case=("lr",))])
    assert [(one.level, one.case) for one in found] == [
        (1, {"lr": 0.1}), (1, {"lr": 1.0}), (2, {"lr": 0.1}), (2, {"lr": 1.0}),
    ]  # fmt: skip
    assert all(one.mean == pytest.approx(0.02) and one.n == 2 for one in found)
    with pytest.raises(ConfigError, match="two networks of level 1"):
        analysis.compare(rows, [Pair("lt", "rr")])


def test_aids_and_sources_make_treatment_of_their_own():
    rows = [
        row("omp", 1, seed, 0.5 + 0.1 * (cell == "soft"), aids=cell) for cell in ("plain", "soft") for seed in (0, 1)
    ]
    (found,) = analysis.compare(rows, [Pair("omp soft", "omp plain")])
    assert found.mean == pytest.approx(0.1)


def test_one_seed_settles_nothing_and_counts():
    late, early = row("late", 1, 0, 0.9), row("early", 1, 0, 0.1)
    rows = [*study(), late, early, row("late", 2, 0, None), row("early", 2, 0, 0.5)]
    found = analysis.compare(rows, [Pair("imp", "rr_imp"), Pair("late", "early")])
    (single,) = [one for one in found if one.treatment == "late"]
    assert (single.p, single.p_holm, single.low, single.low_holm, single.settled) == (None, None, None, None, False)
    assert single.comparisons == 9


@pytest.mark.parametrize(
    ("seeds", "p", "settled"), [(2, 0.5, False), (3, 0.25, False), (5, 0.0625, False), (6, 0.03125, True)]
)
def test_equal_differences_are_judged_by_their_sign(seeds, p, settled):
    # 0.1 + 0.2 and the like: equal but for rounding, which a t test takes for a tiny spread.
    rows = [row("a", 1, seed, 0.1 * seed + 0.02) for seed in range(seeds)]
    rows += [row("b", 1, seed, 0.1 * seed) for seed in range(seeds)]
    (found,) = analysis.compare(rows, [Pair("a", "b")])
    assert (found.p, found.settled) == (p, settled)
    for low in (found.low, found.low_holm):
        assert low == (pytest.approx(0.02) if settled else None)


def test_equal_differences_are_corrected_like_others():
    # Six alone would do, p = 1/32; of two comparisons they need p = 1/40.
    rows = [row(branch, level, seed, 0.1 * seed + shift)
            for branch, shift in (("a", 0.02), ("b", 0.0)) for level in (1, 2) for seed in range(6)]  # fmt: skip
    for found in analysis.compare(rows, [Pair("a", "b")]):
        assert (found.p, found.p_holm, found.settled) == (1 / 32, 1 / 16, False)
        assert (found.low, found.low_holm) == (pytest.approx(0.02), None)


def test_no_difference_at_all_is_not_settled():
    rows = [row(branch, 1, seed, 0.5) for branch in ("a", "b") for seed in range(9)]
    (found,) = analysis.compare(rows, [Pair("a", "b")])
    assert (found.p, found.p_holm, found.settled) == (1.0, 1.0, False)
