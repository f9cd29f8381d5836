"""Weights and masks from files: where experiments start, what is trained as a control, what is only evaluated."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxticket as jt
from jaxticket import storage
from jaxticket.core import paths
from jaxticket.core.errors import JaxticketError
from jaxticket.experiments import make_plan
from jaxticket.interop import read_torch
from jaxticket.lab.given import read_given
from jaxticket.lab.registry import names
from jaxticket.lab.setting import Setting
from jaxticket.lab.stages.references import read_weights
from tests.interop import torch_writer
from tests.small import options_of, refused, run
from tests.small_runs import made_from

pytestmark = [pytest.mark.feature("tickets and given weights")]


def inputs_of(workdir, row):
    return made_from(workdir / "stages" / row["stage"])["inputs"]


def start_of(workdir, row):
    return read_weights(workdir / "stages" / f"{inputs_of(workdir, row)['start']}.safetensors")


def bits(tree):
    return {path: np.asarray(leaf).tobytes() for path, leaf in paths.leaves(tree).items()}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("given")


@pytest.fixture(scope="module")
def made(workdir):
    """An iterative run whose tickets have the removed weights, and the folders of its things."""
    folder, rows, _ = run(workdir, "imp", levels=2, ticket_weights="all")
    init = workdir / "stages" / inputs_of(workdir, rows[0])["start"].partition("/")[0]
    return {
        "rows": rows,
        "init": init,
        "weights": read_weights(init / "weights.safetensors"),
        "ticket": folder / "tickets" / "imp-2-0",
        "mask": workdir / "stages" / f"{inputs_of(workdir, rows[2])['mask']}.safetensors",
    }


@pytest.fixture(scope="module")
def files(made, tmp_path_factory):
    """The same initial weights in every form that they can have without PyTorch."""
    folder, weights = tmp_path_factory.mktemp("files"), made["weights"]
    storage.save_arrays(folder / "plain.safetensors", paths.leaves(weights.params))
    storage.save_arrays(
        folder / "half.safetensors", {path: leaf.astype("f2") for path, leaf in paths.leaves(weights.params).items()}
    )
    return {
        "stage": made["init"],
        "file of a stage": made["init"] / "weights.safetensors",
        "ticket": made["ticket"],
        "file of a ticket": made["ticket"] / "ticket.safetensors",
        "plain": folder / "plain.safetensors",
        "half": folder / "half.safetensors",
    }


def test_initial_weights_are_those_of_any_file(made, files, tmp_path):
    stages = set()
    for kind in ("stage", "file of a stage", "ticket", "file of a ticket", "plain"):
        _, (row,), _ = run(tmp_path, "train", init=str(files[kind]), seeds=(7,))
        assert bits(start_of(tmp_path, row).params) == bits(made["weights"].params)
        stages.add(row["stage"])
    assert len(stages) == 1, "what the file holds counts, not its name or kind"
    given = read_given(Setting(options_of("train")[1]), tmp_path, str(files["half"]), key="init")
    assert {leaf.dtype for leaf in jax.tree.leaves(given.weights)} == {np.dtype(np.float32)}


def test_moved_file_is_same_unlike_edited_one(made, files, tmp_path):
    keys = []
    for name, factor in (("a", 1.0), ("b", 1.0), ("a", 2.0)):
        file = tmp_path / f"{name}.safetensors"
        arrays = {path: leaf * np.float32(factor) for path, leaf in paths.leaves(made["weights"].params).items()}
        storage.save_arrays(file, arrays)
        keys.append(make_plan(*options_of("train", init=str(file)), tmp_path).networks[0].key)
    assert keys[0] == keys[1] != keys[2]


ONLY = {
    "early_bird": {"kind": "unstructured", "window": 2},
    "colt": {"partitions": 1, "rates": (("dense", 0.2),), "lth_rates": (("dense", 0.2),)},
    "structured": {"rewind_epochs": 0},
    "sanity": {"settings": ("lt_imp", "rr_imp"), "levels": (1,), "lrs": (0.1,), "rewind_epochs": 0},
}


@pytest.mark.parametrize("name", sorted(names()))
def test_experiments_start_from_them_unlike_controls(name, files, tmp_path):
    plan = make_plan(*options_of(name, init=str(files["plain"]), **ONLY.get(name, {})), tmp_path)
    labels = {stage.label for stage in plan.stages if stage.kind == "init"}
    assert "init-0" not in labels
    assert not labels or all(label.startswith(("reinit", "head")) for label in labels)
    assert any(stage.kind == "given" for stage in plan.stages)
    if name in ("structured", "sanity"):
        assert labels


def test_a_smaller_dense_network_draws_its_own(files, tmp_path):
    how = {"settings": ("lt_imp", "sdt"), "levels": (1,), "lrs": (0.1,), "rewind_epochs": 0}
    plan = make_plan(*options_of("sanity", init=str(files["plain"]), **how), tmp_path)
    assert {stage.label for stage in plan.stages if stage.kind == "init"} == {"reinit-0", "init-0"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.options.width": 0.2}, r"config.init=.*fc1/bias is \(30,\) there and \(60,\) in lenet300"),
        ({"init": "{mask}"}, "config.init=.*has a mask and no weights"),
        ({"init": "nowhere.pth"}, "config.init='nowhere.pth': there is no such file or folder"),
        ({"init": "{stage}:best9"}, "config.init=.*the stage has weights"),
        ({"init": "{folder}"}, "config.init=.*is no finished stage and no ticket"),
        ({"init": "{numbers}"}, "config.init=.*fc1/bias is int32; weights must be floating-point"),
        (
            {"init": "{text}"},
            "config.init=.*is not a file of torch.save; give a .pth, .pth.tar, .pt, .th, .bin or .safetensors",
        ),
        ({"init": "README.md"}, "config.init='README.md': README.md is not a file of torch.save"),
        ({"init": "{foreign}"}, "config.init=.*'lenet300' cannot be converted from PyTorch"),
    ],
)
def test_what_are_no_initial_weights_is_refused(made, files, tmp_path, change, message):
    numbers = {path: np.ones(leaf.shape, np.int32) for path, leaf in paths.leaves(made["weights"].params).items()}
    storage.save_arrays(tmp_path / "numbers.safetensors", numbers)
    storage.save_arrays(tmp_path / "foreign.safetensors", {"conv1.weight": np.ones(3, np.float32)})
    (tmp_path / "text.pth").write_text("weights")
    named = {"mask": made["mask"], "stage": made["init"], "folder": tmp_path, "text": tmp_path / "text.pth"}
    named |= {kind: tmp_path / f"{kind}.safetensors" for kind in ("numbers", "foreign")}
    changes = {"init": str(files["plain"]), **change}
    changes["init"] = changes["init"].format(**named)
    refused(tmp_path, "train", message, **changes)


def test_parts_of_classes_have_classifiers_of_their_own(files, tmp_path):
    refused(tmp_path, "colt", "config.init=.*set partitions=1", init=str(files["plain"]))


# Tickets with the weights that their masks removed.


def test_tickets_of_run_carry_removed_weights_where_asked(made, workdir):
    ticket = jt.load_ticket(made["ticket"])
    assert ticket.meta["removed"] is True
    assert bits(ticket.params) == bits(made["weights"].params)
    assert not all(kept.all() for kept in ticket.mask.values())
    folder, rows, _ = run(workdir, "imp", levels=2)
    assert [row["stage"] for row in rows] == [row["stage"] for row in made["rows"]]
    again = jt.load_ticket(folder / "tickets" / "imp-2-0")
    assert "removed" not in again.meta
    assert bits(again.params) == bits(jt.apply_mask(made["weights"].params, ticket.mask))
    run(workdir, "imp", levels=2, ticket_weights="all")
    assert jt.load_ticket(made["ticket"]).meta["removed"] is True


def test_refilled_ticket_starts_from_its_true_weights(made, tmp_path):
    how = {"source": "ticket", "levels": 1, "methods": ("refill",), "random_tickets": False, "rewind_epochs": 0}
    ticket = shutil.copytree(made["ticket"], tmp_path / "ticket")
    folder, _, notes = run(tmp_path, "structured", **how, ticket=str(ticket))
    refill = jt.load_ticket(folder / "tickets" / "refill-1-0")
    brought_back = {path: kept & ~jt.load_ticket(ticket).mask[path] for path, kept in refill.mask.items()}
    assert sum(here.sum() for here in brought_back.values()) > 0
    init = paths.leaves(made["weights"].params)
    for path, here in brought_back.items():
        assert np.array_equal(paths.leaves(refill.params)[path][here], init[path][here])
    assert not [note for note in notes if "start at zero" in note]
    poor = jt.load_ticket(ticket)
    meta = {name: value for name, value in poor.meta.items() if name != "removed"}
    jt.save_ticket(tmp_path / "poor", jt.Ticket(jt.apply_mask(poor.params, poor.mask), poor.mask, {}, meta))
    # Seed 0 would draw the very weights that the ticket was made of, and they would be found.
    _, _, notes = run(tmp_path / "other", "structured", **how, ticket=str(tmp_path / "poor"), seeds=(3,))
    assert [note for note in notes if "start at zero" in note]


# PyTorch.

CHECKPOINT = Path(__file__).parents[1] / "golden" / "torch_resnet20.pth"
OF_CHECKPOINT = {
    "model.name": "resnet20",
    "model.options": {"width": 0.25, "shortcut": "pad"},
    "data.name": "cifar10",
    "train.batch_size": 100,
}


def test_pruned_checkpoint_has_mask_and_removed_weights(tmp_path):
    setting = Setting(options_of("train", **OF_CHECKPOINT)[1], planning=True)
    given = read_given(setting, tmp_path, f"{CHECKPOINT}:state_dict", key="init")
    whole, state = read_given(setting, tmp_path, str(CHECKPOINT), key="init"), read_torch(CHECKPOINT)
    assert bits(given.weights) == bits(whole.weights)
    assert whole.whole
    pruned = [path for path, kept in whole.mask.items() if not kept.all()]
    assert "stage1_block0/conv1/kernel" in pruned
    first = state["layer1.0.conv1.weight_orig"].transpose(2, 3, 1, 0)
    assert np.array_equal(whole.weights.params["stage1_block0"]["conv1"]["kernel"], first)
    assert paths.leaves(whole.weights.params)[pruned[0]][~whole.mask[pruned[0]]].any()
    with pytest.raises(JaxticketError, match="has no entry 'init_weight'; its entries are"):
        read_given(setting, tmp_path, f"{CHECKPOINT}:init_weight", key="init")


@pytest.mark.parametrize(
    ("name", "changes", "kinds"),
    [
        ("imp", {"init": str(CHECKPOINT), "levels": 1}, {"given", "mask", "prune", "train", "evaluate"}),
        ("train", {"ticket": str(CHECKPOINT), "reinit": "random"}, {"given", "mask", "init", "train", "evaluate"}),
        ("train", {"ticket": str(CHECKPOINT), "train.epochs": 0}, {"given", "mask", "evaluate"}),
    ],
)
def test_a_checkpoint_is_what_experiments_start_from(tmp_path, name, changes, kinds):
    plan = make_plan(*options_of(name, **OF_CHECKPOINT, **changes), tmp_path)
    assert {stage.kind for stage in plan.stages} == kinds


def test_what_a_checkpoint_has_besides_is_noted(tmp_path):
    """Averaged weights, a trainer's prefix, a loss with weights, an object that is neither tensor nor container."""
    state = {f"net.{name}": leaf for name, leaf in read_torch(CHECKPOINT).items() if leaf.ndim}
    state["criterion.weight"] = np.ones(10, np.float32)
    stored = {str(number): leaf for number, leaf in enumerate(state.values())}

    def entry(first):
        sources = (torch_writer.storage(key, torch_writer.KINDS[a.dtype.name], a.size) for key, a in stored.items())
        strides = [tuple(np.array(a.strides, int) // a.itemsize) for a in map(np.ascontiguousarray, stored.values())]
        shapes = [leaf.shape for leaf in state.values()]
        steps = [tuple(map(int, each)) for each in strides]
        return {
            first + n: torch_writer.tensor(s, 0, *how) for n, s, *how in zip(state, sources, shapes, steps, strict=True)
        }

    other = torch_writer.New(torch_writer.Global("argparse", "Namespace"), ())
    whole = {"model": entry(""), "model_ema": entry("module."), "args": other}
    torch_writer.write(tmp_path / "a.bin", whole, {key: leaf.tobytes() for key, leaf in stored.items()})
    setting = Setting(options_of("train", **OF_CHECKPOINT)[1], planning=True)
    given = read_given(setting, tmp_path, str(tmp_path / "a.bin"), key="init")
    assert bits(given.weights) == bits(read_given(setting, tmp_path, str(CHECKPOINT), key="init").weights)
    skipped, *others, normalised = given.notes
    assert "--config.data.mean=0.485,0.456,0.406" in normalised
    assert skipped == "skipped what is no tensor, number or plain container: argparse.Namespace"
    assert others == ["took 'model'; the same tensors are in 'model_ema' too", "left out 'criterion.weight'"]


@pytest.mark.parametrize("key", ["init", "ticket"])
def test_option_that_checkpoint_needs_is_named(tmp_path, key):
    options = OF_CHECKPOINT | {"model.options": {"width": 0.25}, key: str(CHECKPOINT)}
    said = r"""config.%s='.*torch_resnet20.pth': no tensor gives .* \(shortcut='pad' has none\); check .*, """
    remedy = r"""or set --config.model.options='{"width": 0.25, "shortcut": "pad"}'$"""
    refused(tmp_path, "train", said % key + remedy, **options)


# Masks, and other initial weights.


def test_mask_is_trained_from_other_weights_as_control(made, workdir, tmp_path):
    """Of a ticket, of a mask file, of the pruning that made it: the same mask, and the same draw."""
    found = set()
    for source in (made["ticket"], made["mask"], made["mask"].parent):
        folder, (row,), _ = run(tmp_path, "train", ticket=str(source), reinit="random")
        assert row["branch"] == "rr_ticket"
        assert row["ticket"] is None
        assert not list((folder / "tickets").glob("*"))
        assert row["kept"] == made["rows"][2]["kept"]
        found.add(inputs_of(tmp_path, row)["start"])
        trained = read_weights(tmp_path / "stages" / row["stage"] / "last.safetensors").params
        for path, kept in jt.load_ticket(made["ticket"]).mask.items():
            assert np.array_equal(paths.leaves(trained)[path] != 0, kept)
    assert len(found) == 1
    start = start_of(tmp_path, row).params
    assert (start["fc1"]["kernel"] != made["weights"].params["fc1"]["kernel"]).mean() > 0.99


def test_a_mask_alone_needs_weights_from_somewhere(made, files, tmp_path):
    mask = str(made["mask"])
    refused(tmp_path, "train", "has a mask and no weights; name them with config.init, or draw", ticket=mask)
    refused(tmp_path, "train", "has no mask, and none of its weights is 0", ticket=str(files["plain"]))
    refused(tmp_path, "train", "config.reinit='random': needs a ticket; set config.ticket", reinit="random")
    refused(tmp_path, "train", "draws other weights; leave one", reinit="random", ticket=mask, init=str(files["plain"]))
    refused(tmp_path, "structured", "no weights", source="ticket", levels=1, ticket=mask)
    _, (row,), _ = run(tmp_path, "train", ticket=mask, init=str(files["plain"]))
    assert row["branch"] == "ticket"
    whole = paths.leaves(start_of(tmp_path, row).params)
    assert whole.keys() == paths.leaves(made["weights"].params).keys()


def test_a_sparse_network_shows_its_mask(made, workdir, tmp_path):
    trained = workdir / "stages" / made["rows"][2]["stage"] / "last.safetensors"
    _, (row,), _ = run(tmp_path, "train", ticket=str(trained), reinit="random")
    assert row["kept"] == made["rows"][2]["kept"]


# Evaluation alone.


def test_what_is_given_is_evaluated_without_training(made, workdir, tmp_path):
    dense, _, sparse = made["rows"]
    stage = workdir / "stages" / dense["stage"]
    folder, (row,), _ = run(tmp_path, "train", init=str(stage), **{"train.epochs": 0})
    for name in ("test_accuracy", "val_accuracy", "test_loss"):
        assert row[name] == pytest.approx(dense[name], abs=1e-6)
    assert (row["branch"], row["epochs"], row["train_loss"]) == ("dense", 0, None)
    assert row["stage"].startswith("evaluate-")
    assert (folder / "metrics.jsonl").read_text() == ""
    trained = str(workdir / "stages" / sparse["stage"] / "last.safetensors")
    _, (row,), _ = run(tmp_path, "train", ticket=trained, **{"train.epochs": 0})
    assert row["branch"] == "ticket"
    assert row["test_accuracy"] == pytest.approx(sparse["test_accuracy"], abs=1e-6)
    again = run(tmp_path, "train", ticket=trained, **{"train.epochs": 0})[1]
    assert again[0]["cached"]


def test_one_shot_without_tuning_is_evaluated(made, workdir, tmp_path):
    dense = str(workdir / "stages" / made["rows"][0]["stage"])
    how = {"retrain": "finetune", "sparsities": (0.5, 0.99)}
    folder, rows, notes = run(workdir, "oneshot", **how, dense=dense)
    assert [row["stage"].partition("-")[0] for row in rows] == ["train", "evaluate", "evaluate"]
    assert rows[0]["test_accuracy"] >= rows[1]["test_accuracy"] > rows[2]["test_accuracy"]
    ticket = jt.load_ticket(folder / "tickets" / "omp-2-0")
    last = read_weights(workdir / "stages" / made["rows"][0]["stage"] / "last.safetensors")
    assert bits(ticket.params) == bits(jt.apply_mask(last.params, ticket.mask))
    assert [row["test_accuracy_pruned"] for row in rows[1:]] == [row["test_accuracy"] for row in rows[1:]]
    assert any("not trained on" in note for note in notes)


def test_nothing_given_is_nothing_to_evaluate(tmp_path):
    refused(tmp_path, "train", "config.train.epochs=0: evaluates weights that are given", **{"train.epochs": 0})
    refused(tmp_path, "imp", "config.train.epochs=0: set epochs or steps to at least 1", **{"train.epochs": 0})


@pytest.mark.parametrize(
    "given", [{"init": "{plain}"}, {"ticket": "{ticket}"}, {"ticket": "{mask}", "init": "{plain}"}]
)
def test_what_is_given_is_one_network(made, files, tmp_path, given):
    named = {"plain": files["plain"], "ticket": made["ticket"], "mask": made["mask"]}
    changes = {key: text.format(**named) for key, text in given.items()} | {"train.epochs": 0}
    refused(tmp_path, "train", r"config.train.epochs=0: .*one network; found seeds \(0, 1\)", **changes, seeds=(0, 1))
    draws = {"ticket": str(made["mask"]), "reinit": "random", "train.epochs": 0, "seeds": (0, 1)}
    for options, count in ((changes | {"seeds": (1,)}, 1), (draws, 2)):
        plan = make_plan(*options_of("train", **options), tmp_path)
        assert [stage.kind for stage in plan.stages].count("evaluate") == count


# Dense networks.


def test_what_a_mask_prunes_is_no_dense_network(made, files, workdir, tmp_path):
    how = {"levels": 1, "reinit": "none"}
    kept, total = (made["rows"][level]["kept"] for level in (2, 0))
    refused(tmp_path, "imp", "config.dense=.*rewind point", dense=str(files["file of a ticket"]), **how)
    moved = shutil.copy(files["file of a ticket"], tmp_path / "moved.safetensors")
    sparse = rf"config.dense=.*is sparse, with {kept} of {total} weights; must be a dense training"
    refused(tmp_path, "imp", sparse, dense=str(moved), **how)
    ticket = jt.load_ticket(made["ticket"])
    jt.save_ticket(tmp_path / "own", jt.Ticket(ticket.params, ticket.mask, {}, {"weights": "trained", "removed": True}))
    refused(tmp_path, "imp", sparse, dense=str(tmp_path / "own"), **how)
    refused(
        tmp_path, "imp", "config.dense=.*torch_resnet20.pth': is sparse", dense=str(CHECKPOINT), **OF_CHECKPOINT, **how
    )
    arrays = storage.load_arrays(moved)
    whole = {name: np.ones_like(leaf) if name.startswith("mask/") else leaf for name, leaf in arrays.items()}
    storage.save_arrays(tmp_path / "whole.safetensors", whole)
    assert make_plan(*options_of("imp", dense=str(tmp_path / "whole.safetensors"), **how), tmp_path).networks


def test_the_file_of_a_ticket_is_the_ticket(made, files, tmp_path):
    plans = [
        make_plan(*options_of("train", ticket=str(path)), tmp_path).networks[0].key
        for path in (made["ticket"], files["file of a ticket"])
    ]
    assert plans[0] == plans[1]
