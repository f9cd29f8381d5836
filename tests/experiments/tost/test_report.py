"""The sections of a study with aids of training."""

import html
import re

import pytest

from jaxticket.core.errors import JaxticketError
from jaxticket.experiments.tost.report import aids_section
from jaxticket.report.page import make_sections, make_tables
from jaxticket.report.sections.inactive_units import MaskDistances, inactive_units_section
from jaxticket.report.study import Study

pytestmark = [pytest.mark.feature("aids of training")]


def interval(mean, half, n=3):
    return {"mean": mean, "low": None if half is None else mean - half, "high": None if half is None else mean + half,
            "n": n, "std": 0.01}  # fmt: skip


def entry(source, cell, mean, difference, half=0.002):
    found = None if difference is None else interval(difference, half)
    return {"source": source, "level": 1, "sparsity": 0.9, "cell": cell, "accuracy": interval(mean, half),
            "difference": found}  # fmt: skip


@pytest.fixture(scope="module")
def summary(made):
    rows = [
        made.row("omp", 1, seed, sparsity=0.9, aids=cell, ticket=None) for seed in (0, 1) for cell in ("plain", "soft")
    ]
    layer = {"layer": "conv1", "zero": 0.5, "near_zero": 0.6, "dead": 3}
    filters = {"layers": [{"path": "conv1/kernel", "filters": 4, "empty": 2}], "histogram": [2, 0, 0, 2], "map": "0110"}
    return made.summary(
        rows,
        experiment="tost",
        aids=[entry("omp", "plain", 0.9, None), entry("omp", "soft", 0.911, 0.011), entry("lt", "plain", 0.95, None)],
        silence=[{"activation": kind, "epoch": e, "layers": [layer]} for kind in ("relu", "swish") for e in (1, 4)],
        silent_filters=[{"activation": kind, "sparsity": 0.9, **filters} for kind in ("relu", "swish")],
        activation_masks=[
            {"masks": [{"activation": kind, "sparsity": 0.9} for kind in ("relu", "swish")], "rows": [[], [0.125]]}
        ],
    )


def study_of(summary):
    return Study.of(summary)


def words(section):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", section.html)).split())


def test_other_studies_have_none_of_these_sections(made):
    other = study_of(made.summary(made.imp_rows(levels=2)))
    assert [make(other) for make in (aids_section, inactive_units_section)] == [None] * 2


def test_aids_of_row_are_branch_of_their_own(summary):
    assert {row.treatment for row in study_of(summary).rows} == {"omp plain", "omp soft"}


def test_accuracies_and_paired_differences(summary):
    section = aids_section(study_of(summary))
    said = words(section)
    assert "masks of sparsity plain soft omp 90.0% 0.9000 0.9110 +0.0110 ± 0.0020" in said
    assert "lt 90.0% 0.9500 \N{EN DASH}" in said
    assert "intervals of 95%" in said
    assert [figure.name for figure in section.figures] == ["aids_omp"]


def test_one_seed_has_no_intervals(summary):
    one = entry("omp", "soft", 0.91, 0.01, half=None)
    section = aids_section(study_of(summary | {"aids": [{**one, "accuracy": interval(0.91, None, 1)}]}))
    assert "One seed (n = 1), so there are no intervals." in words(section)


def test_silence_has_rates_distances_and_filters(summary):
    study = study_of(summary)
    section = inactive_units_section(study)
    assert [figure.name for figure in section.figures] == [
        "near_zero_by_layer", "near_zero_over_training", "activation_masks", "filter_histogram",
        "filter_map_relu", "filter_map_swish",
    ]  # fmt: skip
    assert "empty filters 90.0% relu 2 of 4 swish 2 of 4" in words(section)
    assert study.records("activation_masks", MaskDistances)[0].rows.tolist() == [[0, 0.125], [0.125, 0]]
    tables = make_tables(make_sections(study))
    assert tables["silence.csv"].splitlines()[1] == "relu,1.0,conv1,0.5,0.6,3"
    assert tables["activation_masks.csv"].splitlines() == ["mask,relu 0.9,swish 0.9", "relu 0.9,0.0,0.125",
                                                           "swish 0.9,0.125,0.0"]  # fmt: skip


def test_entries_that_are_not_what_they_should_be(summary):
    with pytest.raises(JaxticketError, match=r"summary.json: aids\[0\].level is None; must be"):
        aids_section(study_of(summary | {"aids": [{"source": "omp"}]}))
