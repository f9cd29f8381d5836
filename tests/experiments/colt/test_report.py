"""The page of cyclic overlapping tickets and of transfers: rounds, overlap, parts, curves."""

import csv
import dataclasses
import io

import pytest

from jaxticket import analysis
from jaxticket.core.errors import JaxticketError
from jaxticket.experiments.colt.analysis import PAIRS, compare_with_lth, ticket_rows
from jaxticket.experiments.colt.report import Agreement, Reached, break_even, partitions_section
from jaxticket.experiments.sanity.report.accuracy import rounds_section
from jaxticket.report.groups import group_rows
from jaxticket.report.page import make_page, make_sections, make_tables
from jaxticket.report.sections.accuracy import accuracy_section
from jaxticket.report.sections.headline import headline_section
from jaxticket.report.sections.layers import layers_section
from jaxticket.report.study import EpochCurves, Study

pytestmark = [pytest.mark.feature("COLT")]

CONFIG = {"config": {"partitions": 2, "lth": True, "rates": [["conv", 0.15]], "lth_rates": [["conv", 0.2]]}}


def colt_summary(made, *, evaluate=True, seeds=(0, 1)):
    rows, notes = [], []
    for seed in seeds:
        rows.append(made.row("dense", 0, seed, sparsity=0.0, test_accuracy=0.9))
        for level in range(5):
            sparsity = 1 - 0.75**level
            rows += [
                made.row("colt_part", level, seed, sparsity=sparsity, test_accuracy=0.95, part=part) for part in (1, 2)
            ]
            if level and evaluate:
                rows.append(made.row("colt", level, seed, sparsity=sparsity, test_accuracy=0.9 - 0.01 * level))
            if level:
                rows.append(made.row("lth", level, seed, sparsity=1 - 0.8**level, test_accuracy=0.9 + 0.01 * seed))
            if level and evaluate:
                rows.append(made.row("lth_matched", level, seed, sparsity=sparsity, test_accuracy=0.89))
            if level:
                numbers = {"overlap": 0.3 + 0.01 * seed, "overlap_by_chance": 0.15, "kept_expected": 0.745}
                layers = {"conv2/kernel": 0.25, "stem/kernel": None}
                notes.append({"seed": seed, "level": level, **numbers, "kept_measured": 0.746, "layers": layers})
    differences = [dataclasses.asdict(one) for one in analysis.compare(ticket_rows(rows), PAIRS)]
    return made.summary(
        rows, experiment="colt", name="colt", colt=compare_with_lth(rows), colt_rounds=notes, comparisons=differences
    )


def study_of(summary):
    return Study.of(summary, config=CONFIG)


def lines_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_figures_of_rounds_overlap_and_parts(made):
    section = partitions_section(study_of(colt_summary(made)))
    assert [figure.name for figure in section.figures] == ["rounds", "overlap", "parts"]
    remaining, overlap, parts = section.figures
    assert all(name in remaining.svg for name in ("COLT", "LTH"))
    assert "as fast as LTH" in overlap.svg
    assert overlap.label == "Overlap of what the parts remove, by round: 0.30, 0.30, 0.30, 0.30"
    assert all(name in parts.svg for name in ("part 1", "part 2"))
    # The first rounds of at least 50 %: 57.8 % in the third, 59.0 % in the fourth.
    assert ">3</td>" in section.html
    assert ">0.8700</td>" in section.html
    assert ">4</td>" in section.html
    assert "LTH at COLT&#39;s sparsities, rounds" in section.html
    minus = "\N{MINUS SIGN}"
    assert f">{minus}2.00</td>" in section.html  # two equal differences have no interval
    assert f">{minus}3.50 ({minus}9.85 to +2.85)</td>" in section.html


def test_parts_are_not_compared_with_all_classes(made):
    study = study_of(colt_summary(made))
    (panel, *_) = accuracy_section(study).figures
    assert all(name in panel.svg for name in ("dense", "colt", "lth"))
    assert "colt_part" not in accuracy_section(study).html
    assert "colt_part" not in headline_section(study).html
    assert rounds_section(study) is None
    assert "colt_part" not in layers_section(study).html
    parts = [group for group in group_rows(study.rows) if group.branch == "colt_part"]
    assert {group.case["part"] for group in parts} == {1, 2}
    assert all(group.n == 2 for group in parts)


def test_tables(made):
    tables = make_tables(make_sections(study_of(colt_summary(made))))
    agreement = lines_of(tables["agreement.csv"])
    assert [(line["seed"], line["level"], line["layer"], line["overlap"]) for line in agreement[:2]] == [
        ("0", "1", "", "0.3"),
        ("0", "1", "conv2/kernel", "0.25"),
    ]
    assert agreement[0]["kept_measured"] == "0.746"
    assert [(line["branch"], line["sparsity"], line["rounds"]) for line in lines_of(tables["rounds.csv"])] == [
        ("colt", "0.5", "3.0"),
        ("lth_matched", "0.5", "3.0"),
        ("lth", "0.5", "4.0"),
    ]
    assert lines_of(tables["rows.csv"])[1]["part"] == "1"


def test_overlap_at_which_both_are_as_fast(made):
    """2/3 for COLT at 0.15 and LTH at 0.2."""
    study = study_of(colt_summary(made))
    assert break_even(study) == pytest.approx(2 / 3)
    for change in ({"partitions": 5}, {"lth": False}, {"rates": [["conv", 0.1], ["dense", 0.2]]}):
        assert break_even(Study(study.summary, study.rows, config={"config": CONFIG["config"] | change})) is None
    assert break_even(Study(study.summary, study.rows)) is None


def test_tickets_that_were_not_evaluated_and_other_studies(made):
    summary = colt_summary(made, evaluate=False)
    section = partitions_section(study_of(summary))
    assert "COLT" in section.figures[0].svg
    assert "<td" in section.html
    assert make_page(study_of(summary)).html
    other = study_of(made.summary(made.imp_rows()))
    assert partitions_section(other) is None
    assert (other.records("colt_rounds", Agreement), other.records("colt", Reached)) == ([], [])
    with pytest.raises(JaxticketError, match=r"colt_rounds\[0\].seed is None; must be a whole number"):
        study_of(made.summary([], colt_rounds=[{"level": 1}])).records("colt_rounds", Agreement)


def test_every_series_of_a_transfer_is_a_line(made, tmp_path):
    rows = [made.row("dense", 0, 0, sparsity=0.0, test_accuracy=0.9)]
    rows += [
        made.row("transfer", level, 0, sparsity=1 - 0.7**level, test_accuracy=0.9 - 0.01 * level, source=source)
        for source in ("colt-cifar100", "lth-cifar100")
        for level in (1, 2, 10)
    ]
    summary = made.summary(rows, experiment="transfer", name="transfer")
    epochs = (EpochCurves("transfer colt-cifar100", 1, 0, 1.0, train_loss=0.5),)
    page = make_page(Study.of(summary, epochs=epochs))
    assert "Tickets on another data set" in page.html
    panel = next(figure for figure in page.figures if figure.name == "test_accuracy")
    assert all(name in panel.svg for name in ("transfer colt-cifar100", "transfer lth-cifar100"))
    assert any(figure.name == "train_loss_transfer-colt-cifar100" for figure in page.figures)
    assert lines_of(page.tables["rows.csv"])[1]["source"] == "colt-cifar100"
