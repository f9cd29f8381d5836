"""Weights kept at given epochs, of every network of any experiment."""

import json

import numpy as np
import pytest

from jaxticket.core import paths
from jaxticket.core.errors import ConfigError
from jaxticket.experiments import default_config, make_plan, resolve
from jaxticket.lab.lab import Lab
from jaxticket.lab.run import run_experiment
from jaxticket.lab.stages.references import read_weights
from jaxticket.training.progress import Quiet

pytestmark = [pytest.mark.feature("iterative magnitude pruning")]

SMALL = {"levels": 1, "seeds": (0, 1), "train.epochs": 4, "data.val_fraction": 0.1, "seed_parallelism": "vmap"}


def curve(run, row):
    lines = map(json.loads, (run.folder / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["stage"] == row["stage"]]


def same_weights(one, other):
    return all(np.array_equal(leaf, paths.leaves(other)[path]) for path, leaf in paths.leaves(one).items())


def imp_options(**changes):
    config = default_config("imp")
    with config.unlocked():
        config.update_from_flattened_dict({"train.epochs": 2, "train.optimizer": "adam", "train.lr": 0.003} | changes)
    return resolve(config)


def lab_of(workdir, **changes):
    return Lab(imp_options(**changes)[1], workdir / "stages")


def test_every_network_keeps_its_weights_and_best(tmp_path, make_run):
    run = make_run(tmp_path, **SMALL, **{"train.save_epochs": (1, 3)})
    shorter = {
        epochs: make_run(
            tmp_path, **SMALL | {"train.epochs": epochs, "train.select_checkpoint": "best_val", "levels": 1}
        )
        for epochs in (1, 3)
    }
    assert {(row["branch"], row["seed"]) for row in run.rows} == {(b, s) for b in ("dense", "imp") for s in (0, 1)}
    for row in run.rows:
        assert row["saved_epochs"] == [1, 3]
        assert len(curve(run, row)) == 4
    for row in run.rows[:1] + run.rows[2:3]:  # the dense ones; a shorter run is another network to prune
        for epochs, short in shorter.items():
            same = next(other for other in short.rows if (other["branch"], other["seed"]) == ("dense", row["seed"]))
            for kept, whole in (("exact", "last"), ("best", "best")):
                found = read_weights(run.stage(row) / f"{kept}{epochs}.safetensors")
                assert same_weights(found, read_weights(short.stage(same) / f"{whole}.safetensors"))


def test_saves_of_options_and_experiment_share_key(tmp_path):
    """Early birds and analyses ask for epochs of their own; nothing is trained twice for it."""
    plain, saving = lab_of(tmp_path), lab_of(tmp_path, **{"train.save_epochs": (1, 2)})
    keys = set()
    for lab, epochs in ((plain, (2, 1)), (saving, ()), (saving, (1,))):
        lab.stages.execute = False
        keys.add(lab.train(lab.init(0), lab.full_mask(), seed=0, label="net", save_epochs=epochs).stage.key)
    without = plain.train(plain.init(0), plain.full_mask(), seed=0, label="net").stage.key
    assert len(keys) == 1
    assert without not in keys
    assert saving.setting.trainer is saving.setting.trainer_of(plain.options.train)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.save_epochs": (1, 3)}, r"train\.save_epochs=\(1, 3\): must be at most the 2 epochs of training"),
        ({"train.save_epochs": (2, 1)}, r"train\.save_epochs=\(2, 1\): must be increasing"),
        ({"train.save_epochs": (1, 1)}, r"train\.save_epochs=\(1, 1\): must be increasing"),
        ({"train.save_epochs": (0,)}, r"train\.save_epochs\[0\]=0: must be at least 1"),
        (
            {"train.epochs": 0, "train.steps": 29, "train.save_epochs": (1, 3)},
            r"train\.save_epochs=\(1, 3\): must be at most the 2 epochs of training",
        ),
    ],
)
def test_epochs_that_cannot_be_are_refused_in_plan(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        make_plan(*imp_options(**changes), tmp_path)


def test_epochs_after_early_end_are_absent(tmp_path):
    notes = []

    class Notes(Quiet):
        def note(self, text):
            notes.append(text)

    experiment, options = imp_options(
        **{
            "levels": 1,
            "data.val_fraction": 0.1,
            "train.epochs": 20,
            "train.patience": 1,
            "train.lr": 0.05,
            "train.save_epochs": (1, 20),
        }
    )
    _, summary = run_experiment(experiment, options, tmp_path, progress=lambda networks: Notes())
    for row in summary["rows"]:
        assert row["epochs"] < 20
        assert row["saved_epochs"] == [1]
        stage = tmp_path / "stages" / row["stage"]
        assert sorted(file.name for file in stage.glob("*[0-9].safetensors")) == [
            "best1.safetensors",
            "exact1.safetensors",
        ]
        label = f"{row['branch']}-{row['level']}-0"
        assert f"{label} ended in epoch {row['epochs']}; nothing is saved of 20" in notes


def test_what_begins_later_does_not_have_epochs_before(tmp_path, make_run):
    run = make_run(tmp_path, rewind_epochs=1, retrain="remaining", levels=1, **{"train.save_epochs": (1, 2)})
    assert [row["saved_epochs"] for row in run.rows] == [[1, 2], [2]]


def test_rows_of_best_epoch_prune_last_weights(tmp_path, make_run):
    how = {"levels": 1, "seeds": (0, 1), "data.val_fraction": 0.1, "train.epochs": 6, "train.lr": 0.05}
    last = make_run(tmp_path, **how)
    best = make_run(tmp_path, **how, **{"train.report": "best_val"})
    assert best.folder != last.folder
    assert all(row["cached"] for row in best.rows)
    for row, other in zip(best.rows, last.rows, strict=True):
        assert (row["stage"], row["kept"], row["ticket"]) == (other["stage"], other["kept"], other["ticket"])
        assert (row["weights"], other["weights"]) == ("best_val", "last")
        assert row["test_accuracy"] == row["best_test_accuracy"] == other["best_test_accuracy"]
        assert row["val_accuracy"] == row["best_val_accuracy"] >= other["val_accuracy"]
        assert row["test_accuracy_pruned"] == other["test_accuracy_pruned"]
    assert any(row["test_loss"] != other["test_loss"] for row, other in zip(best.rows, last.rows, strict=True))


def test_a_best_epoch_needs_a_validation_split(tmp_path):
    with pytest.raises(ConfigError, match=r"train\.report='best_val': needs config\.data\.val_fraction above 0"):
        make_plan(*imp_options(**{"train.report": "best_val", "data.val_fraction": 0.0}), tmp_path)
