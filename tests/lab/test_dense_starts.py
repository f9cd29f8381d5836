"""What the tickets of a dense network that was trained before, or elsewhere, go back to."""

import json
import shutil

import numpy as np
import pytest

import jaxticket as jt
from jaxticket import storage
from jaxticket.core import paths
from jaxticket.experiments import make_plan
from jaxticket.lab.stages.references import read_weights
from jaxticket.report.files import read_study
from tests.small import options_of, refused, run
from tests.small_runs import made_from

pytestmark = [pytest.mark.feature("iterative magnitude pruning")]

IMP = {"levels": 1}
ONESHOT = {"sparsities": (0.5,)}


def start_of(workdir, row):
    return made_from(workdir / "stages" / row["stage"])["inputs"]["start"]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("dense")


@pytest.fixture(scope="module")
def dense(workdir):
    """A network of seed 1, with the weights of its first epoch."""
    (row,) = run(workdir, "train", seeds=(1,), **{"train.save_epochs": (1,)})[1]
    return workdir / "stages" / row["stage"]


def weights_of(stage, name):
    return read_weights(stage / f"{name}.safetensors")


@pytest.mark.parametrize(("name", "how"), [("imp", IMP), ("oneshot", ONESHOT)])
def test_tickets_rewind_to_initial_weights_of_stage(workdir, dense, tmp_path, name, how):
    folder, rows, notes = run(tmp_path, name, **how, seeds=(0,), dense=str(dense))
    assert [row["seed"] for row in rows] == [0, 0]
    start = start_of(tmp_path, rows[1])
    assert start == start_of(workdir, {"stage": dense.name})
    assert not (tmp_path / "stages" / start.partition("/")[0]).exists()
    ticket = jt.load_ticket(folder / "tickets" / rows[1]["ticket"])
    init = read_weights(workdir / "stages" / f"{start}.safetensors").params
    path = next(path for path, kept in ticket.mask.items() if not kept.all())
    kept, before, after = (paths.leaves(t)[path] for t in (ticket.params, init, weights_of(dense, "last").params))
    assert np.array_equal(kept[ticket.mask[path]], before[ticket.mask[path]])
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.5  # of another draw about 0
    (note,) = [note for note in notes if "config." in note]
    assert "has seed 1" in note
    assert rows[0]["dense_seed"] == 1


def test_initial_weights_that_are_gone_are_drawn_again(workdir, dense, tmp_path):
    moved = shutil.copytree(dense, tmp_path / "elsewhere" / dense.name)
    _, rows, _ = run(tmp_path, "imp", **IMP, seeds=(1,), dense=str(moved))
    _, beside, _ = run(workdir, "imp", **IMP, seeds=(1,), dense=str(dense))
    assert [row["stage"] for row in rows] == [row["stage"] for row in beside]
    start = start_of(tmp_path, rows[1])
    ours, theirs = (folder / "stages" / f"{start}.safetensors" for folder in (tmp_path, workdir))
    assert ours.read_bytes() == theirs.read_bytes()


def test_missing_initial_weights_are_not_replaced(dense, tmp_path):
    moved = shutil.copytree(dense, tmp_path / dense.name)
    (moved / "manifest.json").unlink()
    content, made = storage.read_manifest(dense), {"from": made_from(dense)}
    made["from"]["inputs"]["start"] = "init-0123456789ab/weights"
    storage.write_manifest(moved, ["last.safetensors"], content, made=made)
    refused(tmp_path, "imp", "its initial weights are not known.*config.reinit='none'", **IMP, dense=str(moved))
    storage.write_manifest(moved, ["last.safetensors"], content)  # as stages were before
    refused(tmp_path, "imp", "its initial weights are not known.*config.reinit='none'", **IMP, dense=str(moved))
    make_plan(*options_of("imp", **IMP, dense=str(moved), reinit="none"), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.val_fraction": 0.2}, r"was trained with data.val_fraction=0.1 \(here 0.2\)"),
        ({"data.label_noise": 0.5}, r"was trained with data.label_noise=0.0 \(here 0.5\)"),
        ({"data.name": "emoji32", "model.options": {"width": 0.1}}, "is .* there and .* in lenet300 on emoji32"),
        ({"model.options": {"width": 0.1, "activation": "gelu"}}, r"model.options.activation=None \(here 'gelu'\)"),
        ({"init": "{dense}"}, "config.init=.*has initial weights of its own"),
        ({"rewind_steps": 5}, "rewind point are not known: asked for step 5, known are 0, 10"),
        ({"dense": "{dense}:exact2"}, "saved on the way are best1, exact1"),
        ({"dense": "{dense}:last"}, "saved on the way are best1, exact1"),
        (
            {"dense": "{dense}", "seeds": (0, 1)},
            r"is a network of one seed; found seeds \(0, 1\); set config.seeds to one",
        ),
    ],
)
def test_what_does_not_belong_to_stage_is_refused(dense, tmp_path, changes, message):
    changes = {"dense": "{dense}", **changes}
    changes = {
        key: str(dense).join(value.split("{dense}")) if isinstance(value, str) else value
        for key, value in changes.items()
    }
    refused(tmp_path, "imp", message, **IMP, **changes)


def test_another_recipe_is_said_in_one_note(dense, tmp_path):
    _, _, notes = run(tmp_path, "imp", **IMP, seeds=(1,), dense=str(dense), **{"train.lr": 0.1, "train.epochs": 1})
    (note,) = [note for note in notes if "config." in note]
    assert "was trained with train.epochs=2 (here 1), train.lr=0.05 (here 0.1)" in note


def test_notes_of_dense_network_stay_with_rows(dense, tmp_path):
    how = {**IMP, "seeds": (0,), "dense": str(dense), "train.lr": 0.1}
    folder, _, said = run(tmp_path, "imp", **how)
    run(tmp_path, "imp", **how)  # from finished stages
    notes = read_study(folder).notes
    assert list(notes) == [note for note in said if "config." in note]
    recipe, seed = notes
    assert "train.lr=0.05 (here 0.1)" in recipe
    assert "has seed 1" in seed


def test_a_sparse_network_is_no_dense_one(workdir, dense):
    _, rows, _ = run(workdir, "imp", **IMP, seeds=(1,), dense=str(dense))
    sparse = str(workdir / "stages" / rows[1]["stage"])
    refused(workdir, "imp", "config.dense=.*is sparse, with .* must be a dense training", **IMP, dense=sparse)


def test_weights_saved_on_way_are_rewound_to(workdir, dense, tmp_path):
    """Their row claims no training; a rewind point at a saved epoch is those weights."""
    how = {**ONESHOT, "dense": f"{dense}:exact1", "retrain": "finetune", "finetune_epochs": 1, "seeds": (1,)}
    folder, rows, _ = run(tmp_path, "oneshot", **how)
    assert [row["branch"] for row in rows] == ["dense", "omp"]
    assert rows[0]["epochs"] == 0
    ticket = jt.load_ticket(folder / "tickets" / "omp-1-1")
    first = weights_of(dense, "exact1")
    wanted = paths.leaves(jt.apply_mask(first.params, ticket.mask))
    assert all(np.array_equal(leaf, wanted[path]) for path, leaf in paths.leaves(ticket.params).items())
    magnitudes = {path: np.abs(leaf) for path, leaf in paths.leaves(first.params).items()}
    removed = max(magnitudes[path][~kept].max(initial=0) for path, kept in ticket.mask.items())
    assert removed <= min(magnitudes[path][kept].min(initial=np.inf) for path, kept in ticket.mask.items())
    _, rows, _ = run(tmp_path, "imp", **IMP, dense=str(dense), rewind_epochs=1, seeds=(1,))
    assert start_of(tmp_path, rows[1]) == f"{dense.name}/exact1"


@pytest.fixture(scope="module")
def imported(dense, tmp_path_factory):
    """The trained weights as files of others: a ticket, and safetensors."""
    folder, last = tmp_path_factory.mktemp("imported"), weights_of(dense, "last")
    meta = {"weights": "trained"}
    jt.save_ticket(folder / "ticket", jt.Ticket(last.params, jt.full_mask(last.params), last.model_state, meta))
    storage.save_arrays(folder / "plain.safetensors", paths.leaves(last.params))
    return {"ticket": folder / "ticket", "plain": folder / "plain.safetensors", "file": dense / "last.safetensors"}


@pytest.mark.parametrize("kind", ["ticket", "plain", "file"])
def test_a_network_without_initial_weights_is_not_rewound(workdir, dense, imported, tmp_path, kind):
    path = str(imported[kind])
    remains = "its initial weights are not known.*'lr_rewind' or 'finetune'.*config.init"
    for retrain in ("rewind", "random"):
        refused(tmp_path, "oneshot", remains, **ONESHOT, dense=path, retrain=retrain)
    for reinit in ("init", "random"):
        refused(tmp_path, "imp", "are not known.*config.reinit='none'", **IMP, dense=path, reinit=reinit)
    make_plan(*options_of("oneshot", **ONESHOT, dense=path, retrain="lr_rewind"), tmp_path)
    make_plan(*options_of("imp", **IMP, dense=path, reinit="none"), tmp_path)
    make_plan(*options_of("imp", **IMP, dense=path, reinit="random", reinit_masks="own"), tmp_path)


def test_network_without_initial_weights_can_be_given_them(workdir, dense, imported, tmp_path):
    """The same ticket as of the stage itself: what counts is what the files hold."""
    start = workdir / "stages" / start_of(workdir, {"stage": dense.name}).partition("/")[0]
    _, (_, row), _ = run(tmp_path, "imp", **IMP, seeds=(1,), dense=str(imported["plain"]), init=str(start))
    _, rows, _ = run(workdir, "imp", **IMP, seeds=(1,), dense=str(dense))
    assert row["stage"] != rows[1]["stage"]
    one, other = (
        folder / "stages" / r["stage"] / "last.safetensors" for folder, r in ((tmp_path, row), (workdir, rows[1]))
    )
    assert one.read_bytes() == other.read_bytes()
    assert json.loads((tmp_path / "stages" / row["stage"] / "manifest.json").read_text())
