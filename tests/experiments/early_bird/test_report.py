"""The sections of a study of early-bird tickets: emergence, what drawing early gives and costs, kept channels."""

import copy
import csv
import html
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from jaxticket.core.errors import JaxticketError
from jaxticket.experiments.early_bird.report.channels import kept_channels_section
from jaxticket.experiments.early_bird.report.draws import draws_section
from jaxticket.experiments.early_bird.report.emergence import Distances, emergence_section, window_distance
from jaxticket.report import text
from jaxticket.report.page import make_page, make_sections, make_tables
from jaxticket.report.study import Study

pytestmark = [pytest.mark.feature("early birds")]

RATIOS = (0.3, 0.7)
DRAWN = {"eb_inherit": 6, "draw_2": 2, "late": 10}
ACCURACIES = {"eb_inherit": 0.89, "draw_2": 0.87, "late": 0.88}


def early_summary(made, seeds=(0, 1)):
    rows = []
    for seed in seeds:
        dense = {"macs": 1000, "macs_dense": 1000, "training_flops": 6e9, "training_flops_share": 1.0}
        rows.append(made.row("dense", 0, seed, test_accuracy=0.9, **dense))
        for branch, epoch in DRAWN.items():
            for level, ratio in enumerate(RATIOS, start=1):
                facts = {"ratio": ratio, "draw_epoch": epoch, "macs": 400, "macs_dense": 1000}
                share = (epoch + 0.4 * (10 - epoch or 10)) / 10
                facts |= {"training_flops": 6e9 * share, "training_flops_share": share}
                accuracy = ACCURACIES[branch] - 0.1 * (level - 1)
                rows.append(made.row(branch, level, seed, test_accuracy=accuracy, **facts))
    steps = [0.3, 0.2, 0.08, 0.05, 0.02, 0.01, 0.0, 0.0, 0.0]
    place = np.concatenate([[0.0], np.cumsum(steps)])
    lines = [[round(float(place[i] - place[j]), 4) for j in range(i)] for i in range(10)]
    layers = [
        {"path": "conv10_bn", "before": 16, "after": 9, "held": False},
        {"path": "conv2_bn", "before": 8, "after": 1, "held": True},
    ]
    return made.summary(
        rows,
        experiment="early_bird",
        name="early_bird",
        emergence={"0.3": 6, "0.7": None},
        early_bird=[
            {"seed": seed, "ratio": ratio, "epoch": 6 + seed if ratio == 0.3 else None, "drawn": 6 + seed}
            for seed in seeds
            for ratio in RATIOS
        ],
        mask_distance=[
            {"seed": 0, "kind": "channel", "rule": "latest_vs_window", "window": 3, "epsilon": 0.1}
            | {"epsilon_scale": "none", "by_chance": {"0.3": 0.42, "0.7": 0.42}}
            | {"epochs_per_look": 1, "rows": {"0.3": lines, "0.7": [[None] * i for i in range(10)]}}
        ],
        final_mask=[
            {"seed": seed, "ratio": 0.3, "overlap": 0.6 + 0.1 * seed, "overlap_by_chance": 0.3}
            | {"distance": 0.24 - 0.06 * seed, "distance_scaled": 0.571 - 0.143 * seed}
            for seed in seeds
        ],
        channels=[
            {"branch": branch, "level": level, "seed": seed, "ratio": ratio, "layers": layers}
            for seed in seeds
            for branch in ("eb", "draw_2", "late")
            for level, ratio in enumerate(RATIOS, start=1)
        ],
    )


@pytest.fixture(scope="module")
def study(made):
    summary = early_summary(made)
    return Study.of(summary)


def words(section):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", section.html)).split())


def texts(figure):
    root = ET.fromstring(figure.svg)
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


def test_other_studies_have_none_of_these_sections(made):
    plain = made.summary(made.imp_rows(levels=2))
    other = Study.of(plain)
    assert [make(other) for make in (emergence_section, draws_section, kept_channels_section)] == [None] * 3
    assert set(make_tables(make_sections(other))) == {"rows.csv"}


def test_emergence_has_a_table_maps_and_the_rule(study):
    section = emergence_section(study)
    assert [f.name for f in section.figures] == [
        "mask_distance_p0-3", "mask_distance_p0-7", "distance_p0-3", "distance_p0-7",
    ]  # fmt: skip
    said = words(section)
    assert "pruned seed 0 seed 1 30.0% 6 7 70.0% none none" in said
    assert "The newest of 3 masks is at most 0.1 from each of the others." in said
    assert "Where no ticket emerged it was drawn at the end of training." in said
    assert "emerges after epoch 6" in section.figures[0].label
    assert "does not emerge" in section.figures[1].label
    assert {"30.0% pruned", "Epoch", "0.5"} <= set(texts(section.figures[0]))
    assert {"to the one before", "largest in the window"} <= set(texts(section.figures[2]))


def test_ticket_that_emerges_last_is_not_early(made):
    summary = early_summary(made)
    assert "nothing was early" not in words(emergence_section(Study.of(summary)))
    for entry in summary["early_bird"]:
        entry["at_end"] = entry["seed"] == 1 or entry["epoch"] is None
    said = words(emergence_section(Study.of(summary)))
    assert "The ticket of 30.0% in seed 1 emerged after the last epoch: drawn at the end of training" in said
    assert "so nothing was early." in said


def test_the_second_line_is_what_rule_looks_at(study):
    (found,) = study.records("mask_distance", Distances)
    line = window_distance(found.matrices[0.3], found)
    assert line[0] == (3, pytest.approx(0.5))
    assert line[2] == (5, pytest.approx(0.13))
    assert next(number for number, distance in line if distance <= found.epsilon) == 6


def test_accuracy_against_the_draw_and_cost_of_training(study):
    section = draws_section(study)
    (figure,) = section.figures
    assert {"30.0% pruned", "70.0% pruned", "dense", "Epoch of the draw"} <= set(texts(figure))
    said = words(section)
    assert "late 30.0% 10 0.8800 ± 0.0000 8.4 G 140.0%" in said
    assert "eb_inherit 70.0% 6 0.7900 ± 0.0000 4.56 G 76.0%" in said
    assert said.index(f"dense {text.NOTHING} {text.NOTHING} 0.9000") < said.index("eb_inherit 30.0%")


def test_channels_of_the_first_seed_in_natural_order(study):
    section = kept_channels_section(study)
    assert [f.name for f in section.figures] == ["channels_p0-3", "channels_p0-7"]
    assert {"all", "early bird", "after training"} <= set(texts(section.figures[0]))
    assert "would have been left of conv2_bn" in words(section)
    assert words(section).index("1 conv2_bn") < words(section).index("2 conv10_bn")


def test_the_tables_have_the_whole_matrix(study):
    tables = make_tables(make_sections(study))
    names = {
        "rows.csv",
        "emergence.csv",
        "final_mask.csv",
        "channels.csv",
        "mask_distance_p0.3.csv",
        "mask_distance_p0.7.csv",
    }
    assert set(tables) == names
    lines = list(csv.reader(io.StringIO(tables["mask_distance_p0.3.csv"])))
    assert len(lines) == 11
    assert lines[0][:3] == ["epoch", "1.0", "2.0"]
    assert float(lines[2][1]) == float(lines[1][2]) == 0.3
    assert list(csv.reader(io.StringIO(tables["mask_distance_p0.7.csv"])))[2][1] == ""
    found = list(csv.DictReader(io.StringIO(tables["emergence.csv"])))
    assert found[1] == {"ratio": "0.7", "seed": "0", "emergence_epoch": "", "draw_epoch": "6.0"}


def test_page_has_them_in_order_and_unique_ids(study):
    page = make_page(study)
    found = re.findall(r'<section id="([^"]+)"', page.html)
    assert found.index("emergence") < found.index("draws") < found.index("accuracy") < found.index("channels")
    assert "<h1>Early-bird tickets</h1>" in page.html
    ids = re.findall(r'\bid="([^"]+)"', page.html)
    assert len(ids) == len(set(ids))


def test_damaged_findings_are_one_line(made):
    for name in ("early_bird", "mask_distance", "channels"):
        broken = copy.deepcopy(early_summary(made))
        broken[name][0] = {"seed": 0}
        with pytest.raises(JaxticketError, match=rf"summary.json: {name}\[0\]\.\w+ is None; must be"):
            make_page(Study.of(broken))


def test_early_mask_stands_beside_final_one_and_chance(study):
    said = " ".join(re.sub(r"<[^>]*>", " ", emergence_section(study).html).split())
    assert "also removed in the end by chance distance over chance 30.0% 65.0% 30.0% 0.210" in said
    assert "random masks" in emergence_section(study).figures[-1].svg
    (distances,) = study.records("mask_distance", Distances)
    assert distances.limit(0.3) == 0.1
    scaled = {**study.summary["mask_distance"][0], "epsilon": 0.5, "epsilon_scale": "chance"}
    (other,) = Study({**study.summary, "mask_distance": [scaled]}, study.rows).records("mask_distance", Distances)
    assert other.limit(0.3) == pytest.approx(0.21)
