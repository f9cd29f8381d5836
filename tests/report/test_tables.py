"""The tables for spreadsheets: one line for every number, in full."""

import csv
import io
from pathlib import Path

import pytest

from jaxticket.report.comparison import ComparedStudy, comparison_csv
from jaxticket.report.page import make_sections, make_tables
from jaxticket.report.spreadsheets import to_csv
from jaxticket.report.study import Study

pytestmark = [pytest.mark.feature("reports")]


def tables(summary):
    made = make_tables(make_sections(Study.of(summary)))
    return {name: list(csv.DictReader(io.StringIO(content))) for name, content in made.items()}


def test_rows_have_every_field_that_is_one_value(made):
    rows = [made.row("dense", 0, 0, val_accuracy=None, train_loss=float("nan")), made.row("imp", 1, 0, extra="a,b\nc")]
    (lines,) = tables(made.summary(rows)).values()
    assert list(lines[0])[:3] == ["branch", "level", "seed"]
    assert "layer_sparsity" not in lines[0]
    assert lines[0]["val_accuracy"] == lines[0]["train_loss"] == lines[0]["extra"] == ""
    assert float(lines[1]["test_accuracy"]) == rows[1]["test_accuracy"]
    assert (lines[1]["extra"], lines[1]["cached"]) == ("a,b\nc", "true")
    assert tables(made.summary([])) == {}


def test_a_study_with_findings_has_table_of_each(made):
    summary = made.sanity(
        {"dense": {0.01: 0.9, 0.1: 0.92}, "lt_imp": {0.01: 0.905, 0.1: 0.9}, "rr_imp": {0.01: 0.88, 0.1: 0.89}}
    )
    found = tables(summary)
    assert len(found["rows.csv"]) == 3 * 2 * 3
    assert list(found["rows.csv"][0])[:4] == ["branch", "level", "lr", "seed"]
    correlation = found["correlation.csv"]
    assert len(correlation) == 2 * len(summary["correlation"])
    assert correlation[0] == {
        "lr": "0.01",
        "level": "0",
        "mask": "dense",
        "start": "init",
        "seed": "0",
        "layer": "",
        "correlation": "1.1",
    }
    assert correlation[1]["layer"] == "fc1/kernel"
    assert [line["test_error"] for line in found["instability.csv"][:3]] == ["0.1", "0.11", "0.1"]
    assert found["overlap.csv"][0]["seeds"] == "0 1"
    assert found["overlap.csv"][0]["jaccard"] == "0.3"


def test_verdict_has_lines_of_tickets_and_rates(made):
    summary = made.sanity({"dense": {0.01: 0.9, 0.1: 0.92}, "lt_imp": {0.01: 0.905, 0.1: 0.9}}, levels=(4, 8))
    found = tables(summary)
    first = found["verdict.csv"][0]
    assert (first["ticket"], first["level"], first["seeds"], first["verdict"]) == ("lt_imp", "4", "3", "undecided")
    assert (first["condition_1"], first["condition_2"], first["condition_5"]) == ("true", "", "false")
    assert float(first["margin_5"]) == pytest.approx(-0.01)
    assert "small dense network" in first["missing"]
    assert [(line["level"], line["lr"]) for line in found["verdict_by_lr.csv"]] == [
        ("4", "0.01"),
        ("4", "0.1"),
        ("8", "0.01"),
        ("8", "0.1"),
    ]
    assert float(found["verdict_by_lr.csv"][0]["margin_4"]) == pytest.approx(0.01)
    difference = found["differences.csv"][0]
    assert (difference["against"], difference["lr"], difference["n"]) == ("dense", "0.01", "3")
    assert float(difference["mean"]) == pytest.approx(0.005)


def test_only_a_verdict_makes_a_verdict_file(made):
    assert make_tables(make_sections(Study.of(made.summary([])))) == {}


def test_no_text_becomes_formula_and_numbers_stay_numbers():
    texts = ["=1+1", "+a", "-a", "@a", "\ta", "\ra", "plain", "a=b", "b\r=c", ""]
    (line, numbers) = csv.reader(io.StringIO(to_csv([texts, [-1.5, float("nan"), None, True, -2, [1]]]), newline=""))
    assert line == ["'=1+1", "'+a", "'-a", "'@a", "'\ta", "'\na", "plain", "a=b", "b\n=c", ""]
    assert numbers == ["-1.5", "", "", "true", "-2", ""]


def test_every_table_goes_through_the_one_writer(made):
    rows = [made.row("=cmd|' /C calc'!A0", 0, 0)]
    study = Study.of(made.summary(rows))
    assert "'=cmd|" in make_tables(make_sections(study))["rows.csv"]
    assert "'=cmd|" in comparison_csv([ComparedStudy(Path("@folder"), study, label="-label")])
    assert "\n'-label,'@folder," in comparison_csv([ComparedStudy(Path("@folder"), study, label="-label")])
