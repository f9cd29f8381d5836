"""Numbers as they are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxticket.core.duration_text import duration_text
from jaxticket.report import text
from jaxticket.report.groups import Spread

pytestmark = [pytest.mark.feature("reports"), pytest.mark.smoke]


@pytest.mark.parametrize(
    ("share", "remaining", "sparsity"),
    [
        (1.0, "100%", "0%"),
        (0.8, "80.0%", "20.0%"),
        (0.085899, "8.6%", "91.4%"),
        (0.018014, "1.8%", "98.2%"),
        (0.00713, "0.71%", "99.29%"),
        (0.00069, "0.069%", "99.931%"),
        (0.0, "0.0%", "100.0%"),
    ],
)
def test_shares_keep_two_significant_digits(share, remaining, sparsity):
    assert text.remaining(share) == remaining
    assert text.sparsity_text(1 - share) == sparsity


@given(st.floats(1e-6, 1))
def test_remaining_and_sparsity_add_up_as_printed(share):
    kept, gone = text.remaining(share), text.sparsity_text(1 - share)
    assert float(kept.rstrip("%")) + float(gone.rstrip("%")) == pytest.approx(100, abs=0.11)
    assert float(kept.rstrip("%")) > 0


def test_accuracies_losses_and_differences():
    assert text.accuracy_text(0.96) == "0.9600"
    assert text.accuracy_text(None) == text.NOTHING
    assert text.spread(Spread((0.95, 0.97))) == "0.9600 ± 0.0141"
    assert text.spread(Spread((0.95,))) == "0.9500"
    assert text.spread(Spread(())) == text.NOTHING
    assert text.difference(0.00123) == "+0.0012"
    assert text.difference(-0.013) == "\N{MINUS SIGN}0.0130"
    assert text.difference(-0.00001) == "0.0000"
    assert [text.loss(value) for value in (0.0123, 2.3, 123.4, 1.2e-6, 0.0)] == [
        "0.0123",
        "2.30",
        "123",
        "1.2e-06",
        "0.00",
    ]


def test_times_and_counts():
    seconds = (1.24, 42.4, 200, 7500, 59.7, 3599.8)
    assert [duration_text(value) for value in seconds] == [
        "1.2 s",
        "42 s",
        "3 min 20 s",
        "2 h 05 min",
        "1 min 00 s",
        "1 h 00 min",
    ]
    assert text.count_text(1, "seed") == "1 seed"
    assert text.count_text(1200, "network") == "1,200 networks"
    assert [text.listing(words) for words in (["3"], ["3", "5"], ["3", "4", "5"])] == ["3", "3 and 5", "3, 4 and 5"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (950, "950"), (999.6, "1 k"), (60_936, "60.9 k"), (1_820_000_000, "1.82 G"), (None, "\N{EN DASH}")],
)
def test_amount(value, expected):
    assert text.amount(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(0.0, "0%"), (0.416, "41.6%"), (1.0, "100%"), (None, "\N{EN DASH}")])
def test_share(value, expected):
    assert text.share(value) == expected
