"""A verdict in words: what was found, why, what is missing and how sure it is."""

import pytest

from jaxticket.core.errors import JaxticketError
from jaxticket.experiments.sanity.report.decision import ControlDifference, holds, read_decision
from jaxticket.experiments.sanity.report.wording import counts, found_words, lacking, reading, title

pytestmark = [pytest.mark.feature("sanity checks")]

DENSE = {0.01: 0.90, 0.1: 0.92}
RR = {0.01: 0.88, 0.1: 0.89}
SDT = {0.01: 0.86, 0.1: 0.87}
TICKETS = {
    "jackpot": {0.01: 0.90, 0.1: 0.918},
    "secondary": {0.01: 0.905, 0.1: 0.90},
    "none": {0.01: 0.88, 0.1: 0.892},
}


def decide(made, ticket, *, without=(), **changes):
    accuracies = {"dense": DENSE, "lt_imp": ticket, "rr_imp": RR, "sdt": SDT}
    kept = {branch: values for branch, values in accuracies.items() if branch not in without}
    return read_decision(made.sanity(kept, **changes))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            "jackpot",
            "not settled (n = 3, 1 cell tried): lt_imp at 83.2% sparsity (level 8) is about as good as",
        ),
        (
            "secondary",
            "not about as good as the dense network at its best (condition 5): it is 0.0100 short of that.",
        ),
        ("none", "The nearest, lt_imp at 83.2% sparsity (level 8)"),
    ],
)
def test_every_verdict_has_its_words(made, kind, words):
    decision = decide(made, TICKETS[kind])
    assert decision.kind == kind
    assert words in found_words(decision)
    assert lacking(decision) == ""


def test_settled_verdict_says_for_how_many_cells(made):
    summary = made.sanity({"dense": DENSE, "lt_imp": TICKETS["jackpot"], "rr_imp": RR, "sdt": SDT}, levels=(8, 11))
    by_means = read_decision(summary)
    assert title(by_means) == "jackpot by means, not settled"
    assert found_words(by_means).startswith(
        "A jackpot by means, not settled (n = 3, 2 cells tried): lt_imp at 91.4% sparsity"
    )
    summary["verdict"]["settled"] = True
    summary["verdict"]["cells"][0] |= {"settled": True, "p_holm": 0.012}
    settled = read_decision(summary)
    assert title(settled) == "jackpot"
    assert found_words(settled).startswith(
        "A jackpot: lt_imp at 83.2% sparsity (level 8)"
    )  # not the sparsest, but settled
    assert found_words(settled).endswith("hold, after correction for the 2 cells tried (p = 0.012, n = 3).")
    none = decide(made, TICKETS["none"])
    assert found_words(none).startswith(
        "No winning ticket: none meets conditions 1 to 4 (by means, not settled: n = 3, 1 cell"
    )


def test_no_ticket_names_the_condition_that_failed(made):
    said = found_words(decide(made, TICKETS["none"]))
    assert said.endswith(
        "fails condition 3 (at some learning rate the ticket is clearly above random reinitialisation at every one) "
        "and condition 4 (at some learning rate the ticket is about as good as the dense network at that rate)."
    )


def test_a_trivial_sparsity_is_no_ticket(made):
    said = found_words(decide(made, TICKETS["jackpot"], levels=(2,)))
    assert said.endswith("fails condition 1 (the sparsity is not trivial).")
    assert said.startswith(
        "No winning ticket: none meets conditions 1 to 4 (by condition 1, whatever the accuracies). "
    )


def test_intervals_decide_where_some_tickets_are_too_dense(made):
    decision = decide(made, TICKETS["none"], levels=(2, 8), spread=0.0001, growth=0.1)
    assert [cell.too_dense for cell in decision.cells if cell.ticket == "lt_imp"] == [True, False]
    assert decision.settled
    assert "(settled by condition 1, or else by the intervals)" in found_words(decision)


def test_what_cannot_be_evaluated_is_named(made):
    decision = decide(made, TICKETS["jackpot"], without=("sdt",))
    assert found_words(decision) == "Undecided: a winning ticket can neither be declared nor ruled out."
    assert lacking(decision) == "Missing for a decision: a small dense network (small_dense)."


def test_what_is_missing_is_said_despite_decision(made):
    decision = decide(made, TICKETS["none"], without=("sdt",))
    assert decision.kind == "none"
    assert lacking(decision) == "Not all could be evaluated; missing: a small dense network (small_dense)."


def test_one_seed_decides_nothing(made):
    decision = decide(made, TICKETS["jackpot"], seeds=(0,))
    assert decision.kind == "undecided"
    assert lacking(decision) == "Missing for a decision: a second seed."
    differences = decision.best.differences
    assert differences[0].low is None
    assert reading(differences[0]) == "no interval (n = 1)"


def test_two_seeds_are_said_to_be_few(made):
    decision = decide(made, TICKETS["jackpot"], seeds=(0, 1), growth=1)
    assert reading(decision.best.differences[-1]) == "better (only 2 seeds)"


def test_intervals_on_both_sides_settle_nothing():
    wide = ControlDifference("dense", 0.1, 0.0, -0.1, 0.1, 3, -0.005, "undecided")
    above = ControlDifference("rr", 0.1, 0.05, 0.04, 0.06, 3, 0.005, "above")
    below = ControlDifference("rr", 0.01, 0.0, -0.001, 0.001, 3, 0.005, "below")
    assert [reading(one) for one in (wide, above, below)] == [
        "not settled: the interval lies on both sides",
        "better",
        "not clearly better",
    ]
    equal = ControlDifference("rr", 0.1, 0.05, None, None, 3, 0.005, "undecided")
    assert reading(equal) == "not settled: 3 equal differences"


def test_best_cell_is_sparsest_prize_or_nearest_miss(made):
    prizes = decide(made, TICKETS["secondary"], levels=(4, 8, 11))
    assert (prizes.best.ticket, prizes.best.level) == ("lt_imp", 11)
    assert counts(prizes) == "of 3 tickets: 3 secondary"
    assert decide(made, TICKETS["none"], levels=(2, 8)).best.level == 8


def test_margins_meet_their_conditions_as_paper_has_it():
    assert [holds(3, 0.0), holds(4, 0.0), holds(5, -1e-4), holds(3, None)] == [False, True, False, None]


def test_verdict_that_is_not_one_is_refused():
    assert read_decision({}) is None
    for broken in ({"kind": "splendid"}, {"kind": "none", "cells": [{"level": 1}]}, {"kind": "none", "cells": 3}):
        with pytest.raises(JaxticketError, match=r"summary\.json: verdict.* again$") as error:
            read_decision({"verdict": broken})
        assert "\n" not in str(error.value)
