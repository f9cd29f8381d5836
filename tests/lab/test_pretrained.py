"""A dense network from a folder, rounds to an overall sparsity, other weights, channels by their scales."""

import numpy as np
import pytest

import jaxticket as jt
from jaxticket.core import paths
from jaxticket.core.errors import JaxticketError
from jaxticket.experiments import default_config, make_plan, resolve, run_experiment
from jaxticket.lab.lab import Lab
from jaxticket.lab.network_slimming import slim_mask
from jaxticket.lab.stages.references import read_weights
from tests.small_runs import made_from

pytestmark = [pytest.mark.feature("tickets and given weights")]

SIZE = 1152 + 4608  # prunable weights of conv3 with an eighth of its width
SMALL = {"model.name": "conv3", "train.epochs": 2, "train.batch_size": 256}


def options_of(name, **changes):
    config = default_config(name)
    with config.unlocked():
        config.model.options["width"] = 0.125
        config.update_from_flattened_dict(SMALL | changes)
    return resolve(config)


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("loaded")


@pytest.fixture(scope="session")
def run(workdir):
    return lambda name, folder=workdir, **changes: run_experiment(*options_of(name, **changes), folder)


ONESHOT = {"sparsities": (0.8,), "retrain": "finetune", "finetune_epochs": 1}


def bits(workdir, row):
    found = read_weights(workdir / "stages" / row["stage"] / "last.safetensors")
    return {path: leaf.tobytes() for tree in found for path, leaf in paths.leaves(tree).items()}


@pytest.mark.parametrize(("name", "how"), [("oneshot", ONESHOT), ("imp", {"levels": 1, "reinit": "none"})])
def test_a_loaded_dense_network_gives_the_same_bits(run, workdir, tmp_path, name, how):
    """Reproducibility (check 17): seed 0 too, in another work folder."""
    _, whole = run(name, **how)
    dense, pruned = whole["rows"]
    assert dense["seed"] == 0
    folder = workdir / "stages" / dense["stage"]
    _, loaded = run(name, tmp_path, **how, dense=str(folder))
    assert [row["stage"] for row in loaded["rows"]] == [dense["stage"], pruned["stage"]]
    assert [row["cached"] for row in loaded["rows"]] == [True, False]
    assert bits(tmp_path, loaded["rows"][1]) == bits(workdir, pruned)
    for key in ("test_accuracy", "val_accuracy", "kept"):
        assert [row[key] for row in loaded["rows"]] == [row[key] for row in whole["rows"]]
    assert not (tmp_path / "stages" / dense["stage"]).exists()


def test_a_ticket_with_trained_weights_does_as_well(run, workdir, tmp_path):
    _, whole = run("oneshot", **ONESHOT)
    weights = read_weights(workdir / "stages" / whole["rows"][0]["stage"] / "last.safetensors")
    ticket = jt.Ticket(weights.params, jt.full_mask(weights.params), weights.model_state, {"weights": "trained"})
    jt.save_ticket(tmp_path / "trained", ticket)
    _, loaded = run("oneshot", tmp_path, **ONESHOT, dense=str(tmp_path / "trained"))
    dense, row = loaded["rows"]
    for name in ("val_accuracy", "test_accuracy"):
        assert dense[name] == pytest.approx(whole["rows"][0][name], abs=1e-6)
    assert bits(tmp_path, row) == bits(workdir, whole["rows"][1])


def test_rounds_to_an_overall_sparsity():
    """Rates of four rounds: .159104, .259917 and .437659 for 50, 70 and 90 %."""
    for sparsity, rate in ((0.5, 0.159104), (0.7, 0.259917), (0.9, 0.437659)):
        assert float(jt.exponential(sparsity, 4)(1)) == pytest.approx(rate, abs=1e-6)


def test_the_last_round_has_the_sparsity(run):
    _, summary = run("imp", levels=3, sparsity=0.7)
    kept = [row["kept"] for row in summary["rows"]]
    assert kept == [SIZE, *(SIZE - round((1 - 0.3 ** (k / 3)) * SIZE) for k in (1, 2, 3))]


def test_one_shot_controls_have_masks_and_draws(run, workdir):
    _, tickets = run("oneshot", sparsities=(0.5, 0.8))
    folder, summary = run("oneshot", sparsities=(0.5, 0.8), retrain="random")
    assert [row["branch"] for row in summary["rows"]] == ["dense", "omp", "rr_omp", "omp", "rr_omp"]
    assert [row["stage"] for row in summary["rows"][1::2]] == [row["stage"] for row in tickets["rows"][1:]]
    assert {path.name for path in (folder / "tickets").iterdir()} == {"omp-1-0", "omp-2-0"}
    starts = set()
    for ticket, control in (summary["rows"][1:3], summary["rows"][3:5]):
        inputs = [made_from(workdir / "stages" / row["stage"])["inputs"] for row in (ticket, control)]
        assert inputs[0]["mask"] == inputs[1]["mask"]
        starts |= {given["start"] for given in inputs}
    assert len(starts) == 3
    assert all(start.startswith("init-") for start in starts)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("oneshot", {"sparsities": (0.5, 0.8)}), ("imp", {"levels": 3, "prune.rate": 0.45})],
)
def test_channels_by_scale(run, name, changes):
    """Whole channels go with all that makes and reads them; rounds are nested and no layer is emptied."""
    folder, summary = run(name, **changes, **{"prune.criterion": "bn_scale", "prune.granularity": "channel"})
    found = [jt.load_ticket(folder / "tickets" / row["ticket"]).mask for row in summary["rows"][1:]]
    previous, left = None, SIZE
    for row, mask in zip(summary["rows"][1:], found, strict=True):
        alive = mask["conv2/kernel"].any((0, 1, 2))
        assert alive.any()
        assert np.array_equal(mask["conv2/kernel"].all((0, 1, 2)), alive)
        kept = mask["conv3/kernel"].any((0, 1, 2))
        assert np.array_equal(mask["conv3/kernel"][0, 0], alive[:, None] & kept)
        wanted = left - round(0.45 * left) if name == "imp" else SIZE - round(row["sparsity"] * SIZE)
        assert 0.5 * wanted < row["kept"] <= wanted
        if previous is not None:
            assert all((mask[path] <= previous[path]).all() for path in mask)
        previous, left = mask, row["kept"]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("oneshot", {"dense": "{folder}", "seeds": (0, 1)}, r"config.dense=.* found seeds \(0, 1\)"),
        ("oneshot", {"dense": "{folder}", "rewind_epochs": 1}, "config.dense=.*rewind point are not known"),
        ("imp", {"dense": "{folder}", "rewind_steps": 3}, "config.dense=.*rewind point are not known"),
        ("imp", {"dense": "{folder}", "model.options.width": 0.25}, "config.dense=.*is .* there and"),
        ("imp", {"dense": "nowhere"}, "config.dense='nowhere': there is no such file or folder"),
        ("oneshot", {"dense": "{ticket}"}, "config.dense=.*holds the weights of a rewind point"),
        ("oneshot", {**ONESHOT, "rewind_epochs": 1}, "config.rewind_epochs=1: retrain='finetune'"),
        ("imp", {"sparsity": 0.9, "prune.rate": 0.3}, "config.prune.rate=0.3: config.sparsity=0.9"),
        ("imp", {"sparsity": 1.0}, "config.sparsity=1.0"),
        ("imp", {"prune.criterion": "bn_scale"}, "config.prune.criterion='bn_scale': needs granularity='channel'"),
        ("at_init", {"methods": ("bn_scale",)}, "config.methods"),
    ],
)
def test_wrong_combinations_fail_before_training(run, workdir, tmp_path, name, changes, message):
    folder, whole = run("oneshot", **ONESHOT)
    named = {"{folder}": workdir / "stages" / whole["rows"][0]["stage"], "{ticket}": folder / "tickets" / "omp-1-0"}
    changes = {key: str(named.get(value, value)) if key == "dense" else value for key, value in changes.items()}
    with pytest.raises(JaxticketError, match=message) as caught:
        make_plan(*options_of(name, **changes), tmp_path)
    assert "\n" not in str(caught.value)


def test_layers_without_normalisation_have_no_scales_to_rank(tmp_path):
    config = default_config("oneshot")
    config.model.name = "conv2"
    config.prune.update(criterion="bn_scale", granularity="channel")
    with pytest.raises(JaxticketError, match=r"config.prune.criterion='bn_scale': .* has no normalisation in conv2"):
        make_plan(*resolve(config), tmp_path)


def test_channels_that_are_gone_are_not_best(tmp_path):
    """A channel of which the mask keeps nothing may still have the largest scale; another one must stay."""
    lab = Lab(options_of("oneshot")[1], tmp_path)
    weights = lab.init(0).load()
    mask = {path: np.array(kept) for path, kept in lab.full_mask().load().items()}
    scales = np.linspace(1, 2, 16, dtype=np.float32)
    weights = weights._replace(params=paths.replace(weights.params, {"conv2_bn/scale": scales}))
    mask["conv2/kernel"][..., -1] = False
    mask["conv3/kernel"][:, :, -1] = False
    found, reached, _ = slim_mask(lab.setting, weights, mask, "bn_scale", 1)
    assert np.flatnonzero(found["conv2/kernel"].any((0, 1, 2))).tolist() == [14]
    assert reached == 8 * 9 + 9
