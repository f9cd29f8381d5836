"""The sections of a study of several learning rates: its verdict, its curves and what it measured."""

import html
import json
import re
import xml.etree.ElementTree as ET

import pytest

from jaxticket.core.errors import JaxticketError
from jaxticket.experiments.sanity.report.accuracy import rates_section, rounds_section
from jaxticket.experiments.sanity.report.correlation import correlation_section
from jaxticket.experiments.sanity.report.instability import instability_section
from jaxticket.experiments.sanity.report.overlap import overlap_section
from jaxticket.experiments.sanity.report.verdict import verdict_section
from jaxticket.report.page import make_page, make_sections
from jaxticket.report.sections.curves import curves_section
from jaxticket.report.sections.headline import headline_section
from jaxticket.report.sections.layers import layers_section
from jaxticket.report.sections.table import table_section
from jaxticket.report.study import EpochCurves, Study

pytestmark = [pytest.mark.feature("sanity checks")]

ACCURACIES = {
    "dense": {0.01: 0.90, 0.1: 0.92},
    "lt_imp": {0.01: 0.905, 0.1: 0.90},
    "rr_imp": {0.01: 0.88, 0.1: 0.89},
    "retrain": {0.01: 0.91, 0.1: 0.915},
    "sdt": {0.01: 0.86, 0.1: 0.87},
}
CONFIG = {"config": {"correlation": 0.1}}
OWN = (verdict_section, rates_section, rounds_section, correlation_section, instability_section, overlap_section)


def study_of(summary, epochs=(), config=CONFIG):
    return Study.of(summary, epochs=tuple(epochs), config=config)


@pytest.fixture(scope="module")
def study(made):
    return study_of(made.sanity(ACCURACIES, levels=(4, 8)))


@pytest.fixture(scope="module")
def sections(study):
    """The study's own sections by the first words of their functions, drawn once."""
    return {make.__name__.removesuffix("_section"): make(study) for make in OWN}


def words(section):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", section.html)).split())


def texts(figure):
    """All text of a figure; it also has to be well-formed."""
    root = ET.fromstring(figure.svg)
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


def heights(figure):
    return [float(size) for size in re.findall(r"font-size: ([\d.]+)px", figure.svg)]


def test_other_experiments_have_none_of_these_sections(made):
    plain = study_of(made.summary(made.imp_rows(levels=3)), config={})
    assert [section(plain) for section in OWN] == [None] * len(OWN)
    assert headline_section(plain) is not None


def test_verdict_is_headline_of_study_that_has_one(study, sections):
    assert [section.name for section in make_sections(study)].count("found") == 1
    said = words(sections["verdict"])
    assert said.startswith(
        "Verdict secondary prize by means, not settled of 2 tickets: 2 secondary Decided by lt_imp level 8, 83.2% "
        "sparsity, n = 3"
    )
    assert "Best dense test accuracy 0.9200 ± 0.0005, n = 3, lr 0.1" in said
    assert (
        "A secondary prize by means, not settled (n = 3, 2 cells tried), not a jackpot: lt_imp at 83.2% sparsity"
        in said
    )
    assert "About as good is at most 0.005 below, clearly above more than 0.005 above." in said
    minus = "\N{MINUS SIGN}"
    assert f"5 \N{MULTIPLICATION X} fails {minus}0.0100 at some learning rate" in said
    assert "2 \N{CHECK MARK} holds +0.0300 the ticket's best accuracy" in said


def test_grid_says_at_which_rate_condition_holds(sections):
    page = sections["verdict"].html
    grid = page[page.index('<table class="grid">') :]
    assert re.findall(r'<th scope="row">([\d.]+%)</th>', grid) == ["59.0%", "83.2%"]
    assert re.findall(r"<th scope=\"col\">(lr .*?)</th>", grid) == ["lr 0.01", "lr 0.1"]
    lines = grid.split("<tr")[2:4]
    marks = [re.findall(r'aria-label="([^"]+)">(\d.)</span>', line) for line in lines]
    yes, no = "\N{CHECK MARK}", "\N{MULTIPLICATION X}"
    at_rates = [f"3{yes}", f"4{yes}", f"5{no}", f"3{yes}", f"4{no}", f"5{no}"]
    assert [[text for _, text in line] for line in marks] == [[f"1{yes}", f"2{yes}", *at_rates]] * 2
    assert marks[0][2][0].startswith("Condition 3 holds (margin +0.0100): at some learning rate the ticket is clearly")


def test_an_undecided_study_says_what_is_missing(made):
    without = {branch: values for branch, values in ACCURACIES.items() if branch != "sdt"}
    said = words(verdict_section(study_of(made.sanity(without))))
    assert "Undecided: a winning ticket can neither be declared nor ruled out." in said
    assert "Missing for a decision: a small dense network (small_dense)." in said
    assert "2 ? not known" in said


def test_too_dense_a_ticket_has_no_p_value(made):
    said = words(verdict_section(study_of(made.sanity(ACCURACIES, levels=(2,)))))
    assert "no winning ticket, by condition 1, whatever the accuracies 1\N{MULTIPLICATION X}" in said
    assert "(p " not in said


def test_one_seed_has_no_intervals_and_no_spread(made):
    one = study_of(made.sanity(ACCURACIES, seeds=(0,)))
    said = words(verdict_section(one))
    assert "Missing for a decision: a second seed." in said
    assert "no interval (n = 1)" in said
    assert "±" not in said
    assert "One seed (n = 1), so no spread is shown." in words(rates_section(one))


def test_differences_are_shown_with_interval_and_reading(sections, made):
    equal = words(sections["verdict"])
    none, minus, header = (
        "\N{EN DASH}",
        "\N{MINUS SIGN}",
        "lr against difference 95% interval n threshold reading 0.01 dense",
    )
    assert f"{header} +0.0050 {none} 3 {minus}0.0050 not settled: 3 equal differences" in equal
    said = words(verdict_section(study_of(made.sanity(ACCURACIES, levels=(4, 8), growth=1))))
    assert f"{header} +0.0050 +0.0038 to +0.0062 3" in said
    assert "\N{MINUS SIGN}0.0050 as good as dense" in said
    assert "0.1 other initial weights (RR) +0.0100" in said
    assert "Differences of all other tickets (6)" in said
    assert "Picked by these same test accuracies, the best of 2 tickets" in said


def test_accuracy_by_rate_has_its_panels(sections):
    section = sections["rates"]
    names = [f"accuracy_by_lr_{kind}_{level}" for kind in ("imp", "omp") for level in (4, 8)]
    assert [figure.name for figure in section.figures] == names
    assert {"dense", "LT", "RR", "small dense", "IMP, 83.2% sparsity", "0.01", "0.1"} <= set(texts(section.figures[1]))
    assert {"retrain", "dense", "small dense"} <= set(texts(section.figures[3]))
    assert "RR" not in texts(section.figures[3])


def test_rounds_between_have_no_panel(made):
    summary = made.sanity(ACCURACIES)
    between = [made.row("lt_imp", 7, seed, lr=lr) for lr in (0.01, 0.1) for seed in (0, 1, 2)]
    figures = rates_section(study_of(summary | {"rows": summary["rows"] + between})).figures
    assert [figure.name for figure in figures] == ["accuracy_by_lr_imp_8", "accuracy_by_lr_omp_8"]


def test_a_single_rate_leaves_nothing_to_compare(made):
    single = {branch: {0.1: values[0.1]} for branch, values in ACCURACIES.items()}
    assert rates_section(study_of(made.sanity(single))) is None


def test_accuracy_over_weights_has_its_panels(study, sections):
    assert [section.name for section in make_sections(study)].count("accuracy") == 1
    section = sections["rounds"]
    names = [f"accuracy_{kind}-at-lr-0-{digits}" for kind in ("imp", "omp") for digits in ("01", "1")]
    assert [figure.name for figure in section.figures] == names
    assert {"dense", "LT", "RR", "IMP at lr 0.01"} <= set(texts(section.figures[0]))
    assert "small dense" not in texts(section.figures[0])


def test_correlation_is_shown_beside_the_line_of_chance(study, sections):
    section = sections["correlation"]
    assert [figure.name for figure in section.figures] == ["correlation_imp_4", "correlation_imp_8"]
    assert {"dense", "initial", "other", "p = 0.1"} <= set(texts(section.figures[0]))
    without = correlation_section(Study(study.summary, study.rows))
    assert not any(text.startswith("p =") for text in texts(without.figures[0]))


def test_instability_has_lines_and_table_of_barriers(sections):
    section = sections["instability"]
    assert [figure.name for figure in section.figures] == ["instability_dense_0"]
    assert {"lr 0.01", "lr 0.1", "Test error"} <= set(texts(section.figures[0]))
    assert "dense 0 0.0200 ± 0.0100 0.1100 ± 0.0100" in words(section)


def test_overlap_is_shown_against_chance(sections):
    section = sections["overlap"]
    assert [figure.name for figure in section.figures] == ["overlap_seeds-imp"]
    assert {"IMP, between seeds", "chance", "lr 0.1"} <= set(texts(section.figures[0]))


def test_text_of_every_panel_is_legible_on_telephone(sections):
    assert sum(len(section.figures) for section in sections.values()) == 12
    for section in sections.values():
        for figure in section.figures:
            assert figure.small
            assert min(heights(figure)) >= 11
            assert 'viewBox="0 0 330 ' in figure.svg


def test_densities_of_different_rates_are_not_mixed(made):
    rows = [
        made.row(branch, level, 0, lr=lr, layer_sparsity={"fc1/kernel": lr * level, "fc2/kernel": 0.5})
        for lr in (0.05, 0.1)
        for branch in ("lt_imp", "rr_imp")
        for level in (1, 2)
    ]
    section = layers_section(study_of(made.summary(rows, experiment="sanity")))
    assert [figure.name for figure in section.figures] == ["layers_lt_imp-at-lr-0-05", "layers_lt_imp-at-lr-0-1"]
    said = words(section)
    assert "lt_imp at lr 0.05, in numbers layer level 1 level 2 fc1/kernel 95.0% 90.0%" in said
    assert "lt_imp at lr 0.1, in numbers layer level 1 level 2 fc1/kernel 90.0% 80.0%" in said


def test_curves_of_different_rates_are_not_mixed(made):
    rows = [made.row("lt_imp", 1, 0, lr=lr) for lr in (0.01, 0.1)]
    epochs = [
        EpochCurves("lt_imp", 1, 0, epoch, train_loss=loss, case={"lr": lr})
        for lr, losses in {0.01: (2.0, 1.9), 0.1: (1.0, 0.1)}.items()
        for epoch, loss in enumerate(losses, 1)
    ]
    section = curves_section(study_of(made.summary(rows, experiment="sanity"), epochs))
    assert [figure.name for figure in section.figures] == [
        "train_loss_lt_imp-at-lr-0-01",
        "train_loss_lt_imp-at-lr-0-1",
    ]
    assert "1.9" in texts(section.figures[0])
    assert "0.1" in texts(section.figures[1])
    assert "0.1" not in texts(section.figures[0])


def test_table_compares_within_a_rate(study):
    said = words(table_section(study))
    assert "branch lr level remaining" in said
    assert "lt_imp 0.01 4 41.0% 0.9050 ± 0.0005 +0.0050" in said
    assert "lt_imp 0.1 4 41.0% 0.9000 ± 0.0005 \N{MINUS SIGN}0.0200" in said


def test_unfinished_study_has_no_verdict_yet(made):
    summary = made.sanity({branch: ACCURACIES[branch] for branch in ("dense", "lt_imp")}, complete=False)
    summary = {key: value for key, value in summary.items() if key != "verdict"}
    said = words(headline_section(study_of(summary)))
    assert verdict_section(study_of(summary)) is None
    assert "lt_imp at lr 0.01 is as good as the dense network down to 16.8%" in said
    assert "No level of lt_imp at lr 0.1 is as good as the dense network." in said
    assert "Dense test accuracy at lr 0.01 0.9000" in said


def test_the_page_names_and_links_its_tables(study):
    page = make_page(study)
    assert "lenet300 on digits, 2 learning rates, 2 levels, 3 seeds" in page.html
    links = re.findall(r'<a href="([^"]+)"', page.html)
    assert links == [f"tables/{name}" for name in page.tables]
    assert "verdict_by_lr.csv" in page.tables
    assert json.loads(page.tables["verdict.json"]) == study.summary["verdict"]
    ids = re.findall(r'\bid="([^"]+)"', page.html)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("section", "name", "broken", "message"),
    [
        (correlation_section, "correlation", 3, r"correlation is not a list of objects"),
        (correlation_section, "correlation", [{"lr": "fast"}], r"correlation\[0\].lr is 'fast'; must be a number"),
        (instability_section, "instability", [{"lr": 0.1}], r"instability\[0\].branch is None; must be a string"),
        (overlap_section, "overlap", [{"lr": 0.1, "level": 1.5}], r"overlap\[0\].level is 1.5; must be a whole number"),
    ],
)
def test_broken_findings_are_named_in_one_line(made, section, name, broken, message):
    with pytest.raises(JaxticketError, match=message) as error:
        section(study_of(made.summary([], **{name: broken})))
    assert "\n" not in str(error.value)
