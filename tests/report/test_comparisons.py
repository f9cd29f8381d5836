"""Paired differences on the page, in the terminal and as a table."""

import csv
import dataclasses
import html
import io
import re

import pytest
from rich.console import Console

from jaxticket import analysis
from jaxticket.analysis import Pair
from jaxticket.core.errors import JaxticketError
from jaxticket.report.comparisons import comparisons, sentences, summed_up
from jaxticket.report.page import make_page
from jaxticket.report.sections.accuracy import accuracy_section
from jaxticket.report.sections.comparisons import comparisons_section
from jaxticket.report.sections.headline import headline_section
from jaxticket.report.sections.layers import layers_section
from jaxticket.report.study import Study
from jaxticket.report.terminal import print_table

pytestmark = [pytest.mark.feature("reports")]


@pytest.fixture
def summary(made):
    """Two levels: the first far above its control in every seed, the second above it by chance at most."""
    gains = {1: (0.050, 0.051, 0.049), 2: (0.03, -0.02, 0.01)}
    rows = [
        made.row(branch, level, seed, test_accuracy=0.8 + 0.01 * seed + (gain if branch == "imp" else 0.0), lr=0.1)
        for level, found in gains.items()
        for seed, gain in enumerate(found)
        for branch in ("imp", "rr_imp")
    ]
    found = analysis.compare(rows, [Pair("imp", "rr_imp", case=("lr",))])
    return made.summary(rows, comparisons=[dataclasses.asdict(one) for one in found])


def study_of(summary):
    return Study.of(summary)


def words(section):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", section.html)).split())


def test_the_section_says_how_many_are_settled(summary):
    said = words(comparisons_section(study_of(summary)))
    assert "1 of 2 comparisons is settled at 95% after Holm's correction; the other is not. n = 3." in said
    assert "at most 5%" in said
    assert re.search(r"imp rr_imp 1 0.1 \+5.00 \+4.75 to \+5.25 \+\S+ to \+\S+ 0.00013 0.00027 3 settled: above", said)
    assert re.search(
        "imp rr_imp 2 0.1 [+]0.67 \N{MINUS SIGN}.* to [+].* \N{MINUS SIGN}.* to [+].* 0.69 0.69 3 not settled", said
    )
    assert comparisons_section(study_of(summary | {"comparisons": []})) is None


def test_one_seed_says_that_nothing_can_be_settled(made):
    rows = [made.row(branch, 1, 0) for branch in ("imp", "rr_imp")]
    found = analysis.compare(rows, [Pair("imp", "rr_imp")])
    summary = made.summary(rows, comparisons=[dataclasses.asdict(one) for one in found])
    said = words(comparisons_section(study_of(summary)))
    assert "None of 1 comparison is settled" in said
    assert "One seed has no spread, so nothing can be settled." in said
    assert "n = 1): not settled" in sentences(comparisons(study_of(summary)), "imp", 1)


def test_the_terminal_says_it_too(summary):
    console = Console(file=io.StringIO(), width=120)
    print_table(summary, console)
    assert "comparisons: 1 of 2 comparisons is settled at 95%" in console.file.getvalue()


def test_the_table_has_every_number_in_full(summary):
    lines = list(csv.DictReader(io.StringIO(make_page(study_of(summary)).tables["comparisons.csv"])))
    assert [line["lr"] for line in lines] == ["0.1", "0.1"]
    assert [line["settled"] for line in lines] == ["true", "false"]
    assert float(lines[0]["p_holm"]) == summary["comparisons"][0]["p_holm"]
    assert {line["comparisons"] for line in lines} == {"2"}


def test_sentences(summary):
    first, second = comparisons(study_of(summary))
    said = sentences([first, second], "imp", 1, {"lr": 0.1})
    assert said == "Minus rr_imp: +5.00 points (95% +4.75 to +5.25, n = 3): settled: above."
    assert summed_up([first]) == "1 of 1 comparison is settled at 95% after Holm's correction."
    assert summed_up([first, second, second]).endswith("; the rest are not settled.")


def test_what_is_no_comparison_is_refused(summary):
    with pytest.raises(JaxticketError, match=r"summary.json: comparisons\[0\].control is None; must be a string"):
        comparisons(study_of(summary | {"comparisons": [{"treatment": "imp"}]}))


def test_a_headline_says_what_is_settled(made):
    gains = (0.001, -0.002, 0.004)
    rows = [made.row("dense", 0, seed, test_accuracy=0.9) for seed in range(3)]
    rows += [made.row("imp", 1, seed, test_accuracy=0.9 + gain) for seed, gain in enumerate(gains)]
    found = analysis.compare(rows, [Pair("imp", "dense", control_level=0)])
    summary = made.summary(rows, comparisons=[dataclasses.asdict(one) for one in found])
    said = words(headline_section(study_of(summary)))
    assert "is as good as the dense network down to" in said
    assert "Minus dense: +0.10 points (95% " in said
    assert "n = 3): not settled." in said


@pytest.fixture
def beside_control(made):
    """A ticket of two levels that is settled to be above dense at the last one, and the control of its masks."""
    rows = [made.row("dense", 0, seed, test_accuracy=0.9 + 0.01 * seed) for seed in range(3)]
    for level, gain in {1: (0.0, 0.01, -0.01), 2: (0.050, 0.051, 0.049)}.items():
        rows += [made.row("imp", level, i, test_accuracy=0.9 + 0.01 * i + more) for i, more in enumerate(gain)]
        rows += [made.row("rr_imp", level, seed, test_accuracy=0.9 + 0.01 * seed) for seed in range(3)]
    found = analysis.compare(rows, [Pair("imp", "rr_imp"), Pair("imp", "dense", control_level=0)])
    return made.summary(rows, comparisons=[dataclasses.asdict(one) for one in found])


def test_control_has_its_sentence_without_claim(beside_control):
    study = study_of(beside_control)
    said = words(headline_section(study))
    assert "The same masks from other initial weights (rr_imp): 0.9100 ± 0.0100." in said
    assert "rr_imp is as good as" not in said
    assert "rr_imp is a control: the masks of imp from other initial weights." in said
    assert "rr_imp" not in words(layers_section(study))
    figure = accuracy_section(study).figures[0].svg
    assert "stroke-dasharray: 9,4.5" in figure
    console = Console(file=io.StringIO(), width=120)
    print_table(beside_control, console)
    assert "rr_imp: a control, the masks of imp from other initial weights" in console.file.getvalue()


def test_control_with_own_masks_has_own_sentence(made):
    rows = [made.row("dense", 0, 0, test_accuracy=0.9), made.row("rr_imp", 1, 0, test_accuracy=0.9)]
    study = study_of(made.summary(rows))
    said = words(headline_section(study))
    assert "rr_imp is as good as the dense network" in said
    assert "rr_imp is a control: from other initial weights than a ticket's." in said
    assert "rr_imp" in words(layers_section(study))


def test_a_control_alone_is_said_to_be_one(made):
    study = study_of(made.summary([made.row("rr_ticket", 0, 0, sparsity=0.9)]))
    assert "rr_ticket is a control: from other initial weights than a ticket's." in words(headline_section(study))


@pytest.mark.parametrize(
    ("gains", "standing"),
    [
        ((0.050, 0.051, 0.049), "settled to be above dense"),
        ((-0.0040, -0.0041, -0.0039), "settled to be below dense, by less than the margin"),
        ((0.0, 0.01, -0.01), "by means, not settled"),
    ],
)
def test_card_says_what_its_claim_rests_on(made, gains, standing):
    rows = [made.row("dense", 0, seed, test_accuracy=0.9 + 0.01 * seed) for seed in range(3)]
    rows += [made.row("imp", 1, seed, test_accuracy=0.9 + 0.01 * seed + gain) for seed, gain in enumerate(gains)]
    found = analysis.compare(rows, [Pair("imp", "dense", control_level=0)])
    said = words(headline_section(study_of(made.summary(rows, comparisons=[dataclasses.asdict(one) for one in found]))))
    assert said.startswith(f"As good as dense with 80.0% of the weights, imp level 1; {standing} ")
    assert f"(level 1, sparsity 20.0%; {standing})" in said


def test_notes_of_dense_network_stand_in_headline(made):
    rows = [made.row("dense", 0, 0, test_accuracy=0.9), made.row("imp", 1, 0, test_accuracy=0.9)]
    note = "config.dense='stages/train-1': was trained with train.lr=0.1 (here 0.01)"
    page = make_page(study_of(made.summary(rows, notes=[note]))).html
    said = html.unescape(page)
    assert said.index(note) < said.index("As good as dense with")
    assert "the dense network is of another recipe or seed, see the notes above" in said
    with pytest.raises(JaxticketError, match="notes is not a list of strings"):
        make_page(study_of(made.summary(rows, notes=[1])))
