"""Aggregation over seeds, and what counts as being as good as the dense network."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxticket.lab.row import Row
from jaxticket.report.groups import (
    MARGIN,
    Spread,
    cases,
    dense_group,
    first_branches,
    gap,
    group_rows,
    matches,
    sparse_branches,
    sparsest_match,
)

pytestmark = [pytest.mark.feature("reports"), pytest.mark.smoke]


def rows_at(branch, level, sparsity, *accuracies):
    return [Row(branch, level, seed, sparsity, test_accuracy=value) for seed, value in enumerate(accuracies)]


@given(st.lists(st.none() | st.floats(0, 1), max_size=6))
def test_mean_and_sample_deviation_of_what_is_known(values):
    known = [value for value in values if value is not None]
    spread = Spread.of(values)
    assert (spread.n, spread.missing) == (len(known), len(values) - len(known))
    assert spread.mean == (pytest.approx(statistics.fmean(known)) if known else None)
    assert spread.std == (pytest.approx(statistics.stdev(known)) if len(known) > 1 else None)


def test_rows_come_together_by_branch_and_level():
    rows = [
        Row("dense", 0, 1, 0.0, test_accuracy=0.96, cached=True),
        Row("imp", 2, 0, 0.36, test_accuracy=0.95, layer_sparsity={"a": 0.5, "b": 0.2}),
        Row("imp", 1, 0, 0.2, test_accuracy=0.97),
        Row("dense", 0, 0, 0.0, test_accuracy=0.98),
        Row("imp", 2, 1, 0.38, test_accuracy=0.93, layer_sparsity={"a": 0.7}),
    ]
    groups = group_rows(rows)
    assert [(group.branch, group.level, group.n) for group in groups] == [("dense", 0, 2), ("imp", 1, 1), ("imp", 2, 2)]
    dense, _, second = groups
    assert [row.seed for row in dense.rows] == [0, 1]
    assert dense.spread("test_accuracy").mean == pytest.approx(0.97)
    assert dense.spread("test_accuracy").std == pytest.approx(0.0141421356)
    assert dense.cached == 1
    assert second.remaining == pytest.approx(0.63)
    assert second.layers == pytest.approx({"a": 0.4, "b": 0.8})
    assert gap(second, dense) == pytest.approx(-0.03)
    assert dense_group(groups) is dense
    assert sparse_branches(groups) == {"imp": groups[1:]}


def test_cases_are_compared_with_their_own_dense_network():
    rows = [
        Row(branch, level, seed, 0.2 * level, test_accuracy=value, case={"lr": lr})
        for branch, level, lr, value in (
            ("dense", 0, 0.1, 0.95),
            ("lt_imp", 1, 0.1, 0.91),
            ("dense", 0, 0.01, 0.90),
            ("lt_imp", 1, 0.01, 0.90),
        )
        for seed in (0, 1)
    ]
    groups = group_rows(rows)
    assert [(group.name, group.level, group.n) for group in groups] == [
        ("dense at lr 0.1", 0, 2),
        ("dense at lr 0.01", 0, 2),
        ("lt_imp at lr 0.1", 1, 2),
        ("lt_imp at lr 0.01", 1, 2),
    ]
    assert cases(groups) == [{"lr": 0.1}, {"lr": 0.01}]
    assert list(sparse_branches(groups)) == ["lt_imp at lr 0.1", "lt_imp at lr 0.01"]
    verdicts = {group.name: matches(group, dense_group(groups, group.case)) for group in groups[2:]}
    assert verdicts == {"lt_imp at lr 0.1": False, "lt_imp at lr 0.01": True}
    assert dense_group(groups) is None


def test_a_smaller_dense_network_is_no_sparse_branch():
    small = Row("sdt", 8, 0, 0.0, extra={"parameters": 9000})
    assert sparse_branches(group_rows([small, *rows_at("imp", 8, 0.8, 0.9)])).keys() == {"imp"}


def test_branch_is_shown_with_all_its_cases():
    rows = [Row(branch, 1, 0, 0.2, case={"lr": lr}) for branch in "abc" for lr in (0.1, 0.2, 0.3)]
    shown, left_out = first_branches(sparse_branches(group_rows(rows)), 7)
    assert [name[0] for name in shown] == ["a"] * 3 + ["b"] * 3
    assert left_out == ["c"]


@pytest.mark.parametrize("dense_accuracy", [0.97, 0.965, 0.9125, 0.3])
def test_a_difference_of_exactly_the_margin_matches(dense_accuracy):
    (dense,) = group_rows(rows_at("dense", 0, 0.0, dense_accuracy))
    (at_margin,) = group_rows(rows_at("imp", 1, 0.2, round(dense_accuracy - MARGIN, 6)))
    (below,) = group_rows(rows_at("imp", 1, 0.2, round(dense_accuracy - MARGIN - 1e-6, 6)))
    assert matches(at_margin, dense)
    assert not matches(below, dense)


def test_sparsest_match_is_not_last_before_first_miss():
    levels = {1: (0.2, 0.970), 2: (0.36, 0.950), 3: (0.488, 0.966), 4: (0.59, 0.94), 5: (0.67, None)}
    rows = [row for level, (sparsity, value) in levels.items() for row in rows_at("imp", level, sparsity, value)]
    (dense,) = group_rows(rows_at("dense", 0, 0.0, 0.97))
    best = sparsest_match(group_rows(rows), dense)
    assert best is not None
    assert best.level == 3


def test_nothing_matches_what_is_not_known():
    (unknown,) = group_rows(rows_at("dense", 0, 0.0, None))
    (sparse,) = group_rows(rows_at("imp", 1, 0.2, 0.97))
    assert gap(sparse, unknown) is None
    assert sparsest_match([sparse], unknown) is None
