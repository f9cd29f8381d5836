"""The experiment with aids: a whole small run on digits with masks of every source, and what is found in it."""

import shutil

import numpy as np
import pytest

from jaxticket import storage
from jaxticket.core.errors import ConfigError
from jaxticket.experiments import default_config, make_plan, resolve, run_experiment
from jaxticket.experiments.tost.analysis import compare_treatments
from jaxticket.experiments.tost.options import PARTS, SOURCES, TostOptions, aids_of, parts_of
from jaxticket.experiments.tost.recipes import apply_tost_recipe
from jaxticket.experiments.tost.report import Treatment
from jaxticket.report.files import read_study
from jaxticket.report.page import make_sections, make_tables
from jaxticket.report.sections.inactive_units import inactive_units_section
from tests.small import configured

pytestmark = [pytest.mark.feature("aids of training")]

SPARSITIES = (0.5, 0.7)
SMALL = {
    "sources": SOURCES,
    "sparsities": SPARSITIES,
    "treatments": ("all",),
    "prune.rate": 0.4,
    "prune.rounds": 3,
    "gmp_every_steps": 2,
    "aids.rescale_init_options.iterations": 2,
    "model.name": "lenet300",
    "model.options.width": 0.125,
    "train.epochs": 2,
    "train.batch_size": 256,
    "train.lr": 0.05,
    "analyse": True,
    "activations": ("relu", "swish"),
    "measurements": 2,
}


@pytest.mark.parametrize("model", ["mobilenet_v1", "mobilenetv2", "shufflenet_v2"])
def test_networks_without_full_convolution_with_window_are_planned(model, tmp_path):
    config = default_config("tost")
    apply_tost_recipe(config, model, "digits")
    assert make_plan(*resolve(config), tmp_path).networks


def options_of(**changes):
    return configured("tost", SMALL | changes)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("tost")
    return workdir, *run_experiment(*options_of(), workdir)


def test_tickets_as_sources_keep_their_own_weights(run, tmp_path):
    _, folder, summary = run
    ticket = next(row["ticket"] for row in summary["rows"] if row["branch"] == "omp" and row["aids"] == "plain")
    given = tmp_path / "mine.omp"
    shutil.copytree(folder / "tickets" / ticket, given)
    changes = {"sources": (str(given), "snip"), "treatments": ("smoothing",), "dense": False, "sparsities": (0.5,)}
    defaults = TostOptions()  # of what is only read where it acts
    unread = {
        "analyse": False,
        "activations": defaults.activations,
        "measurements": defaults.measurements,
        "gmp_every_steps": 10,
    }
    again, found = run_experiment(*options_of(**changes, **unread), tmp_path)
    rows = {(row["branch"], row["aids"]): row for row in found["rows"]}
    assert set(rows) == {(branch, cell) for branch in ("mine.omp", "snip") for cell in ("plain", "smoothing")}
    first = next(row for row in summary["rows"] if row["ticket"] == ticket)
    plain = rows["mine.omp", "plain"]
    assert plain["kept"] == first["kept"]
    assert plain["test_accuracy"] == first["test_accuracy"]  # its weights are the initial ones that the first run had
    label = plain["ticket"]
    for name in ("ticket.safetensors",):
        one, other = (storage.load_arrays(place / name) for place in (again / "tickets" / label, given))
        assert all(np.array_equal(one[path], other[path]) for path in other)
    assert {entry["source"] for entry in found["aids"]} == {"mine.omp", "snip"}


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (("ompp",), r"config.sources=\('ompp',\): must be different ones of rp, omp, .*, or folders of tickets"),
        (("a/imp-1-0", "b/imp-1-0"), "or folders of tickets of different names"),
        (("nowhere/imp-1-0",), "config.sources: 'nowhere/imp-1-0' is no folder of a ticket; name one, such as"),
    ],
)
def test_sources_that_are_none(sources, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        make_plan(*options_of(sources=sources), tmp_path)


def test_rows_have_every_source_sparsity_and_cell(run):
    workdir, folder, summary = run
    rows = {(row["branch"], row["level"], row.get("aids")): row for row in summary["rows"]}
    expected = {(source, level, cell) for source in SOURCES for level in (1, 2) for cell in ("plain", "all")}
    assert set(rows) == {("dense", 0, None), *expected}
    for source in SOURCES:
        for level, sparsity in enumerate(SPARSITIES, start=1):
            plain, helped = rows[source, level, "plain"], rows[source, level, "all"]
            assert plain["kept"] == helped["kept"] == round((1 - sparsity) * rows["dense", 0, None]["kept"])
            masks = [storage.load_arrays(folder / "tickets" / row["ticket"] / "ticket.safetensors")
                     for row in (plain, helped)]  # fmt: skip
            kept = [{path: array for path, array in one.items() if path.startswith("mask")} for one in masks]
            assert kept[0]
            assert all(np.array_equal(array, kept[1][path]) for path, array in kept[0].items())
            assert plain["stage"] != helped["stage"]
    # The rounds of the lottery ticket are shared: 40 % and 64 % are below 0.7, only the first of them below 0.5. The
    # analysis trains its dense networks with looks, so anew.
    stages = [folder.name for folder in (workdir / "stages").iterdir()]
    assert sum(name.startswith("train-") for name in stages) == 1 + 2 + 2 + len(SOURCES) * 4 + 2


def test_every_cell_is_compared_with_the_plain_one(run):
    found = {(one["treatment"], one["control"], one["level"]) for one in run[2]["comparisons"]}
    assert found == {(f"{source} all", f"{source} plain", level) for source in SOURCES for level in (1, 2)}


def test_a_second_run_finds_everything(run):
    workdir, folder, _ = run
    plan = make_plan(*options_of(), workdir)
    assert plan.folder == folder
    assert all(stage.cached for stage in plan.stages)
    more = make_plan(*options_of(treatments=("soft", "ghost+lrsi")), workdir)
    assert len([stage for stage in more.networks if not stage.cached]) == len(SOURCES) * 2 * 2
    assert not [stage for stage in more.stages if stage.kind == "lrsi" and not stage.cached]


def test_analysis_is_of_every_activation_look_and_sparsity(run):
    _, folder, summary = run
    assert [(one["activation"], one["epoch"]) for one in summary["silence"]] == [
        ("relu", 1), ("relu", 2), ("swish", 1), ("swish", 2),
    ]  # fmt: skip
    for one in summary["silence"]:
        assert [layer["layer"] for layer in one["layers"]] == ["fc1", "fc2"]
        zero = [layer["zero"] for layer in one["layers"]]
        assert all(share > 0.2 for share in zero) if one["activation"] == "relu" else max(zero) < 0.05
    channels = np.load(folder / "near_zero_relu.npy")
    assert channels.shape == (2, 38 + 13)
    assert channels[1, :38].mean() == pytest.approx(summary["silence"][1]["layers"][0]["near_zero"], abs=1e-3)
    for one in summary["silent_filters"]:
        assert sum(one["histogram"]) == len(one["map"]) == sum(layer["filters"] for layer in one["layers"])
        assert one["map"].count("1") == sum(layer["empty"] for layer in one["layers"])
    (masks,) = summary["activation_masks"]
    assert [len(row) for row in masks["rows"]] == [0, 1, 2, 3]
    # Of one network the masks of 0.5 and 0.7 differ in exactly a fifth of the weights.
    assert masks["rows"][1][0] == pytest.approx(0.2, abs=1e-3)


def test_the_network_with_an_activation_has_that_one(tmp_path):
    own = {
        "model.options.activation": "gelu",
        "activations": ("relu", "gelu"),
        "sources": ("rp",),
        "treatments": ("smoothing",),
    }
    plan = make_plan(*options_of(**own, gmp_every_steps=TostOptions().gmp_every_steps), tmp_path)
    dense = {stage.label: stage.id for stage in plan.networks if stage.label.startswith("dense ")}
    assert len(set(dense.values())) == len(dense) == 2


def test_the_report_reads_it(run):
    study = read_study(run[1])
    assert len(study.records("aids", Treatment)) == len(SOURCES) * 2 * 2
    assert "filter_map_swish" in [figure.name for figure in inactive_units_section(study).figures]
    assert len(make_tables(make_sections(study))["silence.csv"].splitlines()) == 1 + 2 * 2 * 2


def test_differences_are_paired_by_seed():
    def row(seed, cell, accuracy):
        return {"branch": "omp", "level": 1, "seed": seed, "aids": cell, "sparsity": 0.9, "test_accuracy": accuracy}

    plain, soft = compare_treatments([
        row(0, "plain", 0.5), row(1, "plain", 0.9), row(0, "soft", 0.6), row(1, "soft", 1.1), row(2, "soft", 0.0),
    ])  # fmt: skip
    assert plain["difference"] is None
    assert plain["accuracy"]["mean"] == pytest.approx(0.7)
    assert soft["difference"]["n"] == 2
    assert soft["difference"]["mean"] == pytest.approx(0.15)
    assert soft["difference"]["low"] == pytest.approx(0.15 - 12.7062 * 0.05, abs=1e-5)
    assert soft["accuracy"]["n"] == 3


def test_cells_switch_aids_and_nothing_else():
    aids = options_of(**{"aids.activation": "mish", "aids.label_smoothing": 0.2, "aids.ghost_share": 0.3})[1].aids
    assert [parts_of(cell) for cell in ("plain", "all", "soft+lrsi")] == [set(), set(PARTS), {"soft", "lrsi"}]
    found = aids_of("soft+lrsi", aids)
    assert (found.activation, found.ghost_skips, found.label_smoothing, found.rescale_init) == (
        "mish",
        False,
        0.0,
        True,
    )
    found = aids_of("ghost+smoothing", aids)
    assert (found.activation, found.ghost_skips, found.label_smoothing, found.rescale_init) == ("", True, 0.2, False)
    assert found.ghost_share == 0.3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": ("magic",)}, r"config.sources=\('magic',\): must be different ones of rp, omp"),
        ({"sparsities": (0.9, 0.5)}, r"config.sparsities=.*: must be increasing"),
        (
            {"treatments": ("soft+hard",)},
            r"config.treatments: 'soft\+hard' must be 'plain', 'all' or different ones of soft",
        ),
        ({"treatments": ("soft+ghost", "ghost+soft")}, r"config.treatments=.*: must be different from each other"),
        ({"aids.rescale_init": True}, r"config.aids: the treatments switch ghost_skips and rescale_init"),
        ({"train.label_smoothing": 0.1}, r"config.train.label_smoothing=0.1: the treatments switch smoothing"),
        ({"prune.criterion": "snip"}, r"config.prune.criterion='snip': comes from sources"),
        ({"activations": ()}, r"config.activations=\(\): must be at least one"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        options_of(**changes)


def test_gradual_pruning_needs_the_steps(tmp_path):
    with pytest.raises(ConfigError, match=r"gmp_every_steps=99: must be at most the 7 steps of training until"):
        make_plan(*options_of(gmp_every_steps=99), tmp_path)


def test_the_preset_of_authors_program_keeps_its_aids():
    config = default_config("tost")
    apply_tost_recipe(config, "conv3", "cifar10", "upstream")
    _, options = resolve(config)
    assert options.aids.permanent
    assert options.aids.rescale_init_options.order == "scale_first"
    assert (options.train.epochs, options.train.milestone_steps(1, 182)) == (182, (90, 135))
    with pytest.raises(ConfigError, match=r"config argument 'preset=paper': must be one of default, upstream"):
        apply_tost_recipe(config, "conv3", "cifar10", "paper")
