"""The sections of a study of structured tickets: winners, controls, layers, pictures of masks, costs."""

import base64
import copy
import csv
import dataclasses
import html
import io
import re
import xml.etree.ElementTree as ET

import pytest
from matplotlib.image import imread

from jaxticket.analysis import Pair, compare
from jaxticket.core.errors import JaxticketError
from jaxticket.experiments.structured.analysis import extreme_tickets
from jaxticket.experiments.structured.report.accuracy import controls_section, structured_accuracy_section
from jaxticket.experiments.structured.report.layers import Structure, blocks_in_words, structure_section
from jaxticket.experiments.structured.report.masks import heatmaps_section
from jaxticket.experiments.structured.report.winners import (
    shown_levels,
    structured_costs_section,
    structured_winners_section,
    winners,
)
from jaxticket.report import write_report
from jaxticket.report.page import make_page, make_sections, make_tables
from jaxticket.report.sections.curves import curves_section
from jaxticket.report.sections.headline import headline_section
from jaxticket.report.sections.layers import layers_section
from jaxticket.report.study import EpochCurves, Study

pytestmark = [pytest.mark.feature("refill and regroup")]

OWN = (structured_winners_section, controls_section, structured_costs_section, structure_section, heatmaps_section)
# Branch -> test accuracy at levels 1 and 2; dense has 0.9.
ACCURACIES = {
    "imp": (0.91, 0.905),
    "refill": (0.902, 0.88),
    "refill_random": (0.89, 0.87),
    "regroup": (0.89, 0.895),
    "slim_l1": (0.9, 0.86),
}
KEPT = {"imp": (0.64, 0.4), "refill": (0.65, 0.42), "regroup": (0.9, 0.6), "slim_l1": (0.64, 0.4)}
TIMES, MINUS, DASH = "\N{MULTIPLICATION SIGN}", "\N{MINUS SIGN}", "\N{EN DASH}"


def layer(path, before, after, **changes):
    found = {
        "path": path,
        "shape": [128, 576],
        "density": before,
        "new_density": after,
        "channels": 128,
        "emptied_channels": 0,
        "blocks": [[32, 353], [32, 368]],
        "coverage": 0.762,
        "holes": 0.5,
        "structured": True,
        "note": "",
    }
    return found | changes


def structured_summary(made, seeds=(0, 1, 2), seconds=None):
    """As the experiment leaves it: rows with costs, structure of every mask, pictures of the last level's."""
    rows = [made.row("dense", 0, seed, test_accuracy=0.9, macs=1_000_000, macs_dense=1_000_000) for seed in seeds]
    for branch, means in ACCURACIES.items():
        for level, mean in enumerate(means, 1):
            kept = KEPT[branch.removesuffix("_random")][level - 1]
            facts = {"macs": int(1e6 * kept), "macs_dense": 1_000_000, "sparsity": 1 - kept}
            if branch != "imp":
                facts["structured_share"] = 0.75 if branch == "regroup" else 1.0
            if branch.startswith(("refill", "slim")):
                facts["parameters_shrunk"] = 12_345 * level
            if seconds:
                facts["seconds_per_batch"] = seconds * kept
            rows += [made.row(branch, level, s, test_accuracy=mean + 0.001 * (s - 1), **facts) for s in seeds]
    if seconds:
        rows = [row | {"seconds_per_batch": seconds} if row["branch"] == "dense" else row for row in rows]
    structure = [
        {"branch": branch, "level": level, "seed": seed, "density": 0.64, "new_density": KEPT[branch][level - 1]}
        | {"coverage": 0.7, "structured_share": 1.0}
        | {
            "layers": [
                layer("conv10/kernel", 0.5, 0.125 * level, structured=False, blocks=[], note="too few rows"),
                layer("conv2/kernel", 0.25, 0.375, holes=0.0),
            ]
        }
        for seed in seeds
        for branch in ("refill", "regroup", "slim_l1")
        for level in (1, 2)
    ]
    heatmap = [
        {"branch": branch, "level": 2, "seed": seeds[0], "path": path, "shape": [128, 576]}
        | {"density": [[0.0, 0.25, 1.0], [0.5, 0.5, 0.75]]}
        for branch in ("imp", "refill", "regroup")
        for path in ("conv10/kernel", "conv2/kernel")
    ]
    pairs = [Pair(branch, "dense", control_level=0) for branch in KEPT]
    compared = [dataclasses.asdict(one) for one in compare(rows, pairs)]
    return made.summary(
        rows,
        experiment="structured",
        name="structured",
        structured=extreme_tickets(rows, "imp", compared),
        comparisons=compared,
        structure=structure,
        heatmap=heatmap,
    )


def study_of(summary):
    return Study.of(summary)


@pytest.fixture(scope="module")
def summary(made):
    return structured_summary(made)


@pytest.fixture(scope="module")
def sections(summary):
    """The study's own sections by the names of their functions, drawn once."""
    return {make.__name__: make(study_of(summary)) for make in OWN}


def words(section):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", section.html)).split())


def texts(figure):
    """All text of a figure; it also has to be well-formed."""
    root = ET.fromstring(figure.svg)
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


def test_other_experiments_have_none_of_these_sections(made):
    plain = study_of(made.summary(made.imp_rows(levels=3)))
    assert [section(plain) for section in OWN] == [None] * len(OWN)
    assert set(make_tables(make_sections(plain))) == {"rows.csv"}
    assert structured_winners_section(study_of(made.sanity({"dense": {0.1: 0.9}, "lt_imp": {0.1: 0.9}}))) is None


def test_the_headline_is_the_sparsest_structured_winner(summary, sections):
    assert sum(section.name == "found" for section in make_sections(study_of(summary))) == 1
    said = words(sections["structured_winners_section"])
    # The unstructured ticket is sparser and wins too, and a slim baseline is just as good: neither is what is sought.
    assert said.startswith(
        "Extreme structural winning ticket 65.0% of the weights, refill level 1; by means, not settled Its"
    )
    assert "Its multiply-accumulates 65.0% of the dense network's" in said
    assert "Its test accuracy 0.9020 ± 0.0010, n = 3 Dense test accuracy 0.9000 ± 0.0000, n = 3" in said


def test_every_method_has_its_sentence(sections):
    said = words(sections["structured_winners_section"])
    assert "imp wins down to 40.0% of its prunable weights (level 2, sparsity 60.0%; by means, not settled)" in said
    assert "This is the unstructured ticket, to compare with." in said
    assert (
        "refill wins down to 65.0% of its prunable weights (level 1, sparsity 35.0%; by means, not "
        "settled) and 65.0% of the multiply-accumulates : mean test accuracy 0.9020 ± 0.0010 over 3 seeds, against "
        "0.9000 ± 0.0000 over 3 seeds dense. Seed by seed this holds in 3 of 3. The same masks from other initial "
        "weights (refill_random): 0.8900 ± 0.0010."
    ).replace(" :", ":") in said.replace(" :", ":")
    assert "No level of regroup wins. The nearest is level 2 with 60.0% of the prunable weights" in said
    assert "refill_random wins" not in said
    assert said.index("refill wins") < said.index("regroup wins") < said.index("slim_l1 wins")


def test_a_partly_structured_winner_says_so(made):
    changed = structured_summary(made)
    changed["structured"]["extreme"]["regroup"] = changed["structured"]["extreme"]["refill"] | {
        "structured_share": 0.75
    }
    assert "Of its weights 75.0% lie in layers that became structured." in words(
        structured_winners_section(study_of(changed))
    )


def test_a_settled_win_is_called_settled(made):
    """As the study itself decided; an older study, which did not, has no word for it."""
    changed = structured_summary(made)
    refill = changed["structured"]["extreme"]["refill"]
    refill["settled"] = True
    assert "refill level 1; settled to be above dense Its" in words(structured_winners_section(study_of(changed)))
    del refill["settled"]
    assert "refill level 1 Its" in words(structured_winners_section(study_of(changed)))


def test_one_seed_is_called_one_seed(made):
    said = words(structured_winners_section(study_of(structured_summary(made, seeds=(1,)))))
    assert "One dense seed (n = 1): how far it would vary with the seed is not known." in said
    assert "± 0" not in said
    assert "Seed by seed" not in said


def test_without_winner_there_is_no_ticket_to_show(made):
    lost = structured_summary(made)
    lost["structured"]["extreme"] = dict.fromkeys(lost["structured"]["extreme"])
    said = words(structured_winners_section(study_of(lost)))
    assert said.startswith("Structural winning ticket none no structured level is as good as dense")
    assert "No level of refill wins." in said
    assert "It is not below dense, but its masks remove nothing, or none of what they keep is structured." in said


def test_accuracy_marks_winners_and_leaves_out_controls(summary):
    section = structured_accuracy_section(study_of(summary))
    assert "The star marks the sparsest level whose mean test accuracy is not below dense; whether" in words(section)
    shown = texts(section.figures[0])
    assert {"dense", "imp", "refill", "regroup", "40.0%"} <= set(shown)
    assert not {"refill_random", "slim_l1"} & set(shown)
    without = copy.deepcopy(summary)
    del without["structured"]
    assert "The ring marks" in words(structured_accuracy_section(study_of(without)))


def test_controls_are_beside_what_they_control(sections):
    section = sections["controls_section"]
    assert [figure.name for figure in section.figures] == ["control_refill", "slim"]
    assert {"refill", "dense", "rewound", "other weights"} <= set(texts(section.figures[0]))
    assert {"Slim baselines", "imp", "l1"} <= set(texts(section.figures[1]))


def test_costs_are_of_the_winners_level_or_last(summary, sections):
    study = study_of(summary)
    assert winners(study)["regroup"] is None
    assert shown_levels(study) == {"imp": 2, "refill": 1, "regroup": 2, "slim_l1": 1}
    section = sections["structured_costs_section"]
    assert [figure.name for figure in section.figures] == ["macs"]
    assert {"dense", "1 M", "400 k (40.0%)", "650 k (65.0%)", "600 k (60.0%)"} <= set(texts(section.figures[0]))
    said = words(section)
    assert f"dense 0 100% 1 M 100% 50,610 imp 2 40.0% 400 k 40.0% {DASH} refill 1 65.0% 650 k 65.0% 12,345" in said
    assert "No running time was measured." in said


def test_times_are_shown_where_they_were_measured(made):
    section = structured_costs_section(study_of(structured_summary(made, seconds=0.02)))
    assert [figure.name for figure in section.figures] == ["macs", "times"]
    assert {"dense", "20 ms", "13 ms", "12 ms"} <= set(texts(section.figures[1]))
    assert "ms per batch" in words(section)
    assert "No running time" not in words(section)


def test_layers_are_in_their_natural_order(sections):
    section = sections["structure_section"]
    assert [figure.name for figure in section.figures] == ["structure_refill", "structure_regroup"]
    said = words(section)
    assert "refill, level 1, seed 0: 64.0% kept before, 65.0% after" in said
    assert "regroup, level 2, seed 0" in said
    assert "slim_l1" not in said
    row = f"1 conv2/kernel 128 {TIMES} 576 25.0% 37.5% 128 2 of 32 {TIMES} 353{DASH}368 76.2% 0% yes"
    assert row in said
    assert f"2 conv10/kernel 128 {TIMES} 576 50.0% 25.0% 128 {DASH} 76.2% 50.0% no: too few rows" in said
    assert {"before", "after", "after, not structured"} <= set(texts(section.figures[0]))


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ((), DASH),
        (((47, 288),), f"1 of 47 {TIMES} 288"),
        (((32, 891), (32, 939), (64, 900)), f"3 of 32{DASH}64 {TIMES} 891{DASH}939"),
    ],
)
def test_blocks_in_words(blocks, words):
    assert blocks_in_words(blocks) == words


def test_there_is_picture_for_each_layer_and_method(sections):
    section = sections["heatmaps_section"]
    names = [
        f"heatmap_{path}-kernel_{branch}" for path in ("conv2", "conv10") for branch in ("imp", "refill", "regroup")
    ]
    assert [figure.name for figure in section.figures] == names
    assert {"imp, about 50.0% kept", "128", "576"} <= set(texts(section.figures[0]))
    assert "128 output channels by 576, 50.0% kept" in section.figures[0].label
    assert words(section).count("conv2/kernel") == words(section).count("conv10/kernel") == 1
    assert "kept 0% 5% 25% 50% 100%" in words(section)


def test_a_picture_shows_every_part_by_its_opacity(sections):
    """The pixels are those of the summary, in its order: rows are output channels."""
    svg = sections["heatmaps_section"].figures[0].svg
    (data,) = re.findall(r'href="data:image/png;base64,([^"]+)"', svg)
    ((_, upright),) = re.findall(r"<image[^>]* transform=\"matrix\(([\d.]+) 0 0 (-?[\d.]+) ", svg)
    pixels = imread(io.BytesIO(base64.b64decode(data)))[:: 1 if float(upright) > 0 else -1]
    assert pixels.shape == (2, 3, 4)
    expected = [0.0, 0.5, 1.0, 0.7071, 0.7071, 0.8660]  # Square roots of the kept shares.
    assert [float(pixel[3]) for row in pixels for pixel in row] == pytest.approx(expected, abs=0.004)


def test_text_of_every_panel_is_legible_on_telephone(sections):
    for section in sections.values():
        for figure in section.figures:
            assert figure.small
            assert 'viewBox="0 0 330 ' in figure.svg
            assert min(float(size) for size in re.findall(r"font-size: ([\d.]+)px", figure.svg)) >= 11


def test_curves_and_densities_leave_controls_out(summary):
    epochs = [EpochCurves(row["branch"], row["level"], row["seed"], e, 1.0) for row in summary["rows"] for e in (1, 2)]
    section = curves_section(Study.of(summary, epochs=tuple(epochs)))
    names = [f"train_loss_{branch}" for branch in ("imp", "refill", "regroup", "slim_l1")]
    assert [figure.name for figure in section.figures] == names
    assert "Not shown: refill_random." in words(section)
    assert "refill_random" not in words(layers_section(study_of(summary)))


def test_the_tables_have_every_layer_and_every_winner(summary):
    tables = {
        name: list(csv.DictReader(io.StringIO(text)))
        for name, text in make_tables(make_sections(study_of(summary))).items()
    }
    assert set(tables) == {"rows.csv", "comparisons.csv", "structure.csv", "winners.csv"}
    lines = tables["structure.csv"]
    assert len(lines) == 3 * 3 * 2 * (1 + 2)
    assert lines[0] | {"layer": "", "after": "0.65", "coverage": "0.7", "blocks": ""} == lines[0]
    assert (lines[1]["layer"], lines[1]["structured"], lines[1]["note"]) == ("conv10/kernel", "false", "too few rows")
    assert lines[2]["blocks"] == "32x353 32x368"
    won = {line["branch"]: line for line in tables["winners.csv"]}
    assert list(won) == ["imp", "refill", "regroup", "slim_l1"]
    assert (won["refill"]["level"], won["refill"]["macs_share"], won["regroup"]["level"]) == ("1", "0.65", "")
    assert won["imp"]["structured_share"] == ""
    assert float(tables["rows.csv"][0]["macs"]) == 1e6


def test_page_has_them_in_order_and_unique_ids(summary):
    page = make_page(study_of(summary))
    found = re.findall(r'<section id="([^"]+)"', page.html)
    assert found[:7] == ["found", "accuracy", "controls", "comparisons", "costs", "structure", "heatmaps"]
    assert "<h1>Structurally sparse tickets</h1>" in page.html
    ids = re.findall(r'\bid="([^"]+)"', page.html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page.html)) <= set(ids)


def test_unfinished_study_has_a_page_of_its_rows(summary):
    rows = {key: value for key, value in summary.items() if key not in ("structured", "structure", "heatmap")}
    study = study_of(rows | {"complete": False})
    assert structured_winners_section(study) is structure_section(study) is heatmaps_section(study) is None
    assert "As good as dense with" in words(headline_section(study))
    assert [section.name for section in (controls_section(study), structured_costs_section(study))] == [
        "controls",
        "costs",
    ]


def test_files_of_an_earlier_report_go(made, summary, tmp_path):
    folder = made.folder(tmp_path / "run", **summary, metrics=[])
    write_report(folder)
    assert (folder / "figures" / "heatmap_conv2-kernel_refill.svg").exists()
    assert (folder / "tables" / "structure.csv").exists()
    made.folder(folder, [made.row("dense", 0, 0)], metrics=[])
    write_report(folder)
    assert not list((folder / "figures").iterdir())
    assert [path.name for path in (folder / "tables").iterdir()] == ["rows.csv"]


def test_names_from_the_files_are_escaped(made, summary):
    evil = '<script>alert(1)</script>&"x'
    changed = copy.deepcopy(summary)
    for entry in [*changed["rows"], *changed["structure"], *changed["heatmap"]]:
        entry["branch"] = entry["branch"].replace("refill", evil)
    for entry in changed["structure"]:
        entry["layers"][0] |= {"path": evil, "note": evil}
    for entry in changed["heatmap"]:
        entry["path"] = entry["path"].replace("conv2", evil)
    changed["structured"] = extreme_tickets(changed["rows"], "imp", [])
    page = make_page(study_of(changed))
    assert "<script" not in page.html
    assert all(re.fullmatch(r"[a-z0-9_-]+", figure.name) for figure in page.figures)


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        (structure_section, {"structure": 3}, r"structure is not a list of objects"),
        (
            structure_section,
            {"structure": [{"branch": "refill"}]},
            r"structure\[0\].level is None; must be a whole number",
        ),
        (heatmaps_section, {"heatmap": [{"branch": "imp"}]}, r"heatmap\[0\].level is None; must be a whole number"),
        (
            structured_winners_section,
            {"structured": {"extreme": {"imp": {"level": 1}}}},
            r"structured\.extreme\.imp\.n is None; must be a whole number",
        ),
    ],
)
def test_broken_findings_are_named_in_one_line(summary, section, changes, message):
    with pytest.raises(JaxticketError, match=message) as error:
        section(study_of(summary | changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("density", [[], [[]], [[0.5], [0.5, 0.5]], [[1.5]], [["much"]], [[float("nan")]]])
def test_a_picture_that_is_none_is_refused(summary, density):
    broken = summary | {"heatmap": [summary["heatmap"][0] | {"density": density}]}
    with pytest.raises(JaxticketError, match=r"heatmap\[0\]"):
        heatmaps_section(study_of(broken))


def test_numbers_nobody_knows_leave_a_page(summary):
    changed = copy.deepcopy(summary)
    for entry in changed["structure"]:
        entry |= {"density": None, "new_density": float("nan"), "coverage": None}
        entry["layers"][0] = {"path": "conv2/kernel", "shape": [4, 9]}
    for row in changed["rows"]:
        row |= {"macs": None, "test_accuracy": None}
    page = make_page(study_of(changed))
    assert "nan" not in page.html.lower()
    assert study_of(changed).records("structure", Structure)[0].after is None
