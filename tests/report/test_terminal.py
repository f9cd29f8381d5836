"""The table of a finished experiment in the terminal."""

import io

import pytest
from rich.console import Console

from jaxticket.core.errors import JaxticketError
from jaxticket.report.terminal import print_table

pytestmark = [pytest.mark.feature("reports")]


def printed(summary, **options):
    out = io.StringIO()
    print_table(summary, Console(file=out, **options))
    return out.getvalue()


def test_means_and_deviations_over_seeds(made):
    rows = [made.row("dense", 0, seed, test_accuracy=value) for seed, value in enumerate((0.95, 0.97))]
    rows += [made.row("imp", 5, seed, sparsity=0.9, test_accuracy=0.5, val_accuracy=0.6) for seed in (0, 1)]
    lines = printed(made.summary(rows), width=80).splitlines()
    assert lines[0] == "quickstart: lenet300 on digits"
    assert lines[1].split() == ["branch", "level", "sparsity", "left", "test", "val", "n", "cached"]
    assert lines[3].startswith("dense       0        0%   100%  0.9600 ± 0.0141")
    assert lines[4].split()[:7] == ["imp", "5", "90.0%", "10.0%", "0.5000", "±", "0.0000"]
    assert "over n seeds" in lines[-1]


def test_accuracy_right_after_pruning_is_a_column(made):
    rows = [made.row("dense", 0, 0), made.row("imp", 1, 0, test_accuracy_pruned=0.25)]
    lines = printed(made.summary(rows), width=100).splitlines()
    assert lines[1].split() == ["branch", "level", "sparsity", "left", "test", "val", "pruned", "n", "cached"]
    assert [line.split()[6] for line in lines[3:5]] == ["-", "0.2500"]
    assert lines[-1] == "pruned: test accuracy right after pruning, before training"
    assert "pruned" not in printed(made.summary(made.imp_rows(levels=1)), width=100)


def test_plain_text_fits_eighty_columns_without_terminal(made):
    out = printed(made.summary(made.imp_rows()), width=80)
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert len(out.splitlines()) == 3 + 19 + 1


def test_what_is_as_good_stands_out(made):
    rows = [
        made.row("dense", 0, 0, test_accuracy=0.97),
        made.row("imp", 1, 0, test_accuracy=0.965),
        made.row("imp", 2, 0, test_accuracy=0.96),
    ]
    out = printed(made.summary(rows), width=80, force_terminal=True, color_system="standard")
    assert ["\x1b[32m" in line for line in out.splitlines()[3:6]] == [True, True, False]


def test_narrow_screens_cost_least_important_columns(made):
    rows = made.imp_rows(levels=2) + [made.row("a_long_branch_name", 1, seed) for seed in (0, 1)]
    at_80 = printed(made.summary(rows), width=80).splitlines()
    assert at_80[1].split() == ["branch", "level", "sparsity", "left", "test", "val", "n"]
    at_50 = printed(made.summary(rows), width=50).splitlines()
    assert at_50[1].split() == ["branch", "level", "left", "test"]
    assert max(map(len, at_50[1:-1])) <= 50


def test_one_seed_has_no_spread(made):
    out = printed(made.summary(made.imp_rows(levels=1, seeds=(0,), val_accuracy=None)), width=80)
    assert "±" not in out
    assert "n = 1: one seed" in out
    assert "val" not in out


def test_numbers_that_are_missing_are_marked(made):
    rows = [made.row("dense", 0, 0, test_accuracy=0.95), made.row("dense", 0, 1, test_accuracy=float("nan"))]
    rows += [made.row("imp", 1, 0, test_accuracy=None)]
    lines = printed(made.summary(rows), width=80).splitlines()
    assert "0.9500*" in lines[3]
    assert lines[4].split()[4] == "-"
    assert lines[-1].startswith("* over fewer than n")


def test_a_terminal_without_unicode_gets_ascii(made):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_table(made.summary(made.imp_rows(levels=2)), Console(file=out, width=80))
    out.flush()
    assert b"+/-" in out.buffer.getvalue()


def test_unfinished_empty_and_broken_summaries(made):
    out = printed(made.summary([], complete=False), width=80)
    assert out == "quickstart: lenet300 on digits (not finished)\nno networks yet\n"
    assert printed({"rows": []}, width=80).startswith("experiment\n")
    with pytest.raises(JaxticketError, match=r"rows\[0\]"):
        printed({"rows": [{}]})


def test_cases_have_a_column_and_verdict_its_lines(made):
    summary = made.sanity(
        {"dense": {0.01: 0.90, 0.1: 0.92}, "lt_imp": {0.01: 0.905, 0.1: 0.90}, "rr_imp": {0.01: 0.88, 0.1: 0.89}}
    )
    lines = printed(summary, width=80).splitlines()
    assert lines[1].split()[:3] == ["branch", "lr", "level"]
    assert [line.split()[:3] for line in lines[3:6]] == [
        ["dense", "0.01", "0"],
        ["dense", "0.1", "0"],
        ["lt_imp", "0.01", "8"],
    ]
    assert lines[-2] == "verdict: Undecided: a winning ticket can neither be declared nor ruled out."
    assert lines[-1] == "Missing for a decision: a small dense network (small_dense)."
    coloured = printed(summary, width=80, force_terminal=True, color_system="standard").splitlines()
    assert ["\x1b[32m" in line for line in coloured[3:7]] == [True, True, True, False]


def test_markup_in_names_is_text(made):
    out = printed(made.summary([made.row("[bold]x[/bold]", 0, 0)]), width=100)
    assert "[bold]x[/bold]" in out
