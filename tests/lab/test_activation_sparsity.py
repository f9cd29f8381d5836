"""How silent given networks are: rates beside a forward pass in NumPy, of weights under masks from anywhere."""

import numpy as np
import pytest

from jaxticket import data, storage
from jaxticket.core import paths
from jaxticket.experiments import make_plan, run_experiment
from jaxticket.lab.activation_sparsity import silent_filters
from jaxticket.lab.stages.references import read_weights
from jaxticket.report.files import read_study
from jaxticket.report.page import make_sections, make_tables
from jaxticket.report.sections.inactive_units import inactive_units_section
from jaxticket.ticket import load_ticket
from jaxticket.training.state import Weights
from tests.small import options_of, refused

pytestmark = [pytest.mark.feature("activations and dead units")]

ANALYSE = {"analyse": True, "near_zero": 0.05}
LOOK = {"train.epochs": 0, **ANALYSE}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("silence")


@pytest.fixture(scope="module")
def made(workdir):
    """The stages of a dense network and of one that was pruned to a tenth, and its ticket."""
    how = {"levels": 1, "prune.rate": 0.9, "train.save_epochs": (1,)}
    folder, summary = run_experiment(*options_of("imp", **how), workdir)
    dense, sparse = (workdir / "stages" / row["stage"] for row in summary["rows"])
    return {"dense": dense, "sparse": sparse, "ticket": folder / "tickets" / "imp-1-0"}


def by_numpy(params, mask, near_zero=0.05, val_fraction=0.1):
    """(share of zeros, share near zero, dead units) of lenet300's two activations on the test images."""
    digits, flat, found = data.load("digits", val_fraction=val_fraction), paths.leaves(params), []
    x = (np.asarray(digits.test.images, np.float64) / 255 - np.float64(digits.mean)) / np.float64(digits.std)
    x = x.reshape(len(x), -1)
    for name in ("fc1", "fc2"):
        kernel = np.where(mask.get(f"{name}/kernel", True), flat[f"{name}/kernel"], 0)
        x = np.maximum(x @ np.float64(kernel) + flat[f"{name}/bias"], 0)
        found.append([(x == 0).mean(), (x <= near_zero).mean(), (x == 0).all(0).sum()])
    return np.array(found)


def rates_of(entry):
    assert [layer["layer"] for layer in entry["layers"]] == ["fc1", "fc2"]
    return [[layer[name] for name in ("zero", "near_zero", "dead")] for layer in entry["layers"]]


@pytest.mark.parametrize(
    ("given", "weights", "masked"),
    [
        ({"ticket": "{sparse}"}, "sparse/last", True),
        ({"ticket": "{ticket}", "init": "{dense}:exact1"}, "dense/exact1", True),  # what the mask removes is there
        ({"ticket": "{file}"}, "sparse/last", True),
        ({"init": "{dense}"}, "dense/last", False),
    ],
)
def test_rates_are_those_of_masked_given_weights(made, workdir, tmp_path, given, weights, masked):
    stage, name = weights.split("/")
    params = read_weights(made[stage] / f"{name}.safetensors").params
    storage.save_arrays(tmp_path / "file.safetensors", paths.leaves(params))
    places = {**made, "file": tmp_path / "file.safetensors"}
    changes = {key: path.format(**places) for key, path in given.items()}
    folder, summary = run_experiment(*options_of("train", **changes, **LOOK), workdir)
    (entry,) = summary["silence"]
    assert (entry["activation"], entry["epoch"]) == ("relu", 0)
    mask = load_ticket(made["ticket"]).mask if masked else {}
    assert rates_of(entry) == pytest.approx(by_numpy(params, mask), abs=1e-4)
    assert np.load(folder / "near_zero_relu.npy").shape == (1, 30 + 10)
    (filters,) = summary["silent_filters"]
    (row,) = summary["rows"]
    assert filters["sparsity"] == row["sparsity"]
    gone = [(np.where(mask.get(path, True), kernel, 0) == 0).mean(0) for path, kernel in paths.leaves(params).items()
            if path in ("fc1/kernel", "fc2/kernel")]  # fmt: skip
    assert [layer["empty"] for layer in filters["layers"]] == [(rate > 0.9).sum() for rate in gone]
    assert ("1" in filters["map"]) is masked


def test_every_seed_that_is_trained_is_looked_at(workdir):
    how = {"seeds": (0, 1), "seed_parallelism": "vmap", "train.select_checkpoint": "best_val", "data.val_fraction": 0.2}
    folder, summary = run_experiment(*options_of("train", **how, **ANALYSE), workdir)
    rows, found = summary["rows"], summary["silence"]
    assert [(one["seed"], one["epoch"]) for one in found] == [(row["seed"], row["best_epoch"]) for row in rows]
    for row, entry in zip(rows, found, strict=True):
        params = read_weights(workdir / "stages" / row["stage"] / "best.safetensors").params
        assert rates_of(entry) == pytest.approx(by_numpy(params, {}, val_fraction=0.2), abs=1e-4)
    assert [one["seed"] for one in summary["silent_filters"]] == [0, 1]
    study = read_study(folder)
    section = inactive_units_section(study)
    assert section.figures[0].name == "near_zero_by_layer"
    assert "The network under its mask" in section.html
    assert make_tables(make_sections(study))["silence.csv"].splitlines()[1].startswith('"relu, seed 0",')


def test_a_plan_names_the_looks_and_makes_none(made, tmp_path):
    plan = make_plan(*options_of("train", ticket=str(made["ticket"]), **LOOK), tmp_path)
    assert [stage.kind for stage in plan.stages][-2:] == ["silence", "silent_filters"]
    assert not list(tmp_path.iterdir())


def test_untrained_draws_are_looked_at_by_seed(made, workdir):
    options = options_of("train", ticket=str(made["ticket"]), reinit="random", seeds=(0, 1), **LOOK)
    _, summary = run_experiment(*options, workdir)
    assert len({row["stage"] for row in summary["rows"]}) == 2
    first, second = summary["silence"]
    assert (first["seed"], second["seed"]) == (0, 1)
    assert rates_of(first) != rates_of(second)


def test_masks_of_channels_have_filters_in_kernels():
    mask = {"bn/scale": np.array([True, False]), "conv/kernel": np.ones((3, 2), bool) & [True, False]}
    weights = Weights({"bn": {"scale": np.ones(2)}, "conv": {"kernel": np.ones((3, 2))}}, {})
    assert silent_filters(weights, mask)["layers"] == [{"path": "conv/kernel", "filters": 2, "empty": 1}]
    assert silent_filters(weights, {"bn/scale": mask["bn/scale"]})["map"] == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"near_zero": 0.1}, "config.near_zero=0.1: only read with analyse True"),
        ({**ANALYSE, "near_zero": -1.0}, "config.near_zero=-1.0: must be at least 0"),
        ({**ANALYSE, "aids.activation": "swish", "aids.permanent": True}, "config.analyse=True: measures the plain"),
        ({**ANALYSE, "data.name": "imagenet2012"}, "config.analyse=True: needs images in memory, and imagenet2012 is"),
        ({**LOOK, "ticket": "nowhere"}, "config.ticket='nowhere': there is no such file or folder"),
    ],
)
def test_plan_refuses_what_cannot_be_looked_at(changes, message, tmp_path):
    refused(tmp_path, "train", message, **changes)
