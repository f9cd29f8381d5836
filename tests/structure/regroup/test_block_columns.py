"""Every rule for the columns of a block, against its definition written out."""

import numpy as np
import pytest

from jaxticket.structure.regroup.block_columns import select_columns

pytestmark = [pytest.mark.feature("refill and regroup"), pytest.mark.smoke]


def perfect() -> np.ndarray:
    kept = np.zeros((32, 100), bool)
    kept[:, :20] = True
    return kept


@pytest.mark.parametrize(
    ("rule", "options", "number"),
    [
        ("min_count", {"min_rows_per_column": 32}, 20),
        ("min_count", {"min_rows_per_column": 1}, 20),
        ("min_count", {}, 20),
        ("budget", {"area": 640}, 20),
        ("row_budget", {}, 31),
        ("upstream", {}, 31),
        ("profile", {}, 32),
        ("residual", {}, 13),
    ],
)
def test_a_perfect_block(rule, options, number):
    """Perfect block: 32 x 100 with the columns 0 to 19."""
    (columns,) = select_columns([perfect()], rule, **options)
    assert columns.tolist() == list(range(number))


def loop(kept: np.ndarray, ratio: float, rule: str) -> np.ndarray:
    """The rules that are loops, step by step."""
    order = np.argsort(-kept.sum(0), kind="stable")
    left, n = kept.sum(1), kept.shape[1]
    if rule == "residual":
        for i in range(n + 1):
            if i > ratio * max(row.sum() - row[order[:i]].sum() for row in kept):
                return order[:i]
    for i in range(1 if rule == "upstream" else 0, n):
        column = i if rule == "upstream" else order[i]
        for j in range(len(kept)):
            left[j] -= kept[j, column]
            if i <= ratio * left[j]:
                break
        else:
            return order[: i if rule == "upstream" else i + 1]
    return order[:0]


@pytest.mark.parametrize("rule", ["upstream", "profile", "residual"])
def test_loops_agree_with_their_definition(rule):
    random = np.random.default_rng(3)
    failed = 0
    for number in range(60):
        kept = random.random((random.integers(1, 24), random.integers(1, 60))) < random.uniform(0.05, 0.95)
        kept[~kept.any(1), 0] = True
        ratio = (1.5, 1.0, 2.5)[number % 3]
        (columns,) = select_columns([kept], rule, ratio=ratio)
        expected = loop(kept, ratio, rule)
        assert np.array_equal(columns, np.sort(expected))
        failed += not len(columns)
    assert (failed > 5) == (rule != "residual")  # dense groups have no block


def test_row_budget_never_exceeds_the_columns():
    kept = np.zeros((3, 10), bool)
    kept[0, 4:8] = kept[1, 5:7] = kept[2, 6] = True
    (columns,) = select_columns([kept], "row_budget", ratio=1.5)
    assert columns.tolist() == [0, 1, 2, 4, 5, 6, 7]  # four of a row: 7 columns, fillers from the left
    (columns,) = select_columns([np.ones((3, 10), bool)], "row_budget")
    assert len(columns) == 10


def test_min_count_needs_enough_columns():
    kept = perfect()
    kept[:8, 30] = kept[:7, 31] = True
    assert select_columns([kept], "min_count")[0].tolist() == [*range(20), 30]  # a quarter of 32 rows
    assert len(select_columns([kept], "min_count", min_columns=22)[0]) == 0


def test_budget_goes_to_fullest_columns_of_all_groups():
    full, half = np.ones((4, 5), bool), np.zeros((8, 5), bool)
    half[:6, 1] = half[:4, 2] = True
    assert [c.tolist() for c in select_columns([full, half], "budget", area=20)] == [[0, 1, 2, 3, 4], []]
    assert [c.tolist() for c in select_columns([full, half], "budget", area=21)] == [[0, 1, 2, 3, 4], [1]]
    assert [c.tolist() for c in select_columns([full, half], "budget", area=1e9)] == [[0, 1, 2, 3, 4], [1, 2]]
