"""Tickets of runs are exported from the command line: trained, cut, checked; and what is wrong is one line."""

import shutil

import jax.numpy as jnp
import numpy as np
import pytest

import jaxticket as jt
from jaxticket import data, main, storage
from jaxticket.cli import run_command
from jaxticket.core.errors import MaskError
from jaxticket.lab import exported_ticket

pytestmark = [pytest.mark.feature("serving")]


@pytest.fixture(scope="module")
def ticket(tmp_path_factory):
    """Of a run that prunes two thirds of the hidden units at once."""
    workdir = tmp_path_factory.mktemp("export") / "runs"
    keys = {"prune.granularity": "channel", "sparsities": "(0.7,)", "train.epochs": "1", "seeds": "(0,)"}
    flags = [f"--config.{key}={value}" for key, value in keys.items()]
    assert main.main(["--config=oneshot:model=lenet300,dataset=digits", f"--workdir={workdir}", *flags]) == 0
    (found,) = workdir.glob("oneshot-*/tickets/omp-1-0")
    return found


def row_of(ticket):
    rows = storage.read_json(ticket.parents[1] / "summary.json")["rows"]
    return next(row for row in rows if row["ticket"] == ticket.name)


@pytest.mark.parametrize("form", ["shrink", "sparsify"])
def test_exported_ticket_has_the_accuracy_of_its_row(ticket, form, tmp_path, capsys):
    assert run_command("export", [str(ticket), f"--{form}", "--batch=b", f"--out={tmp_path}"]) == 0
    assert "checked  outputs differ by" in capsys.readouterr().out
    exported = jt.load_exported(tmp_path)
    test = data.load("digits").test
    mean, std = (jnp.asarray(exported.meta[name], jnp.float32).reshape(1, 1, 1, -1) for name in ("mean", "std"))
    logits = exported((jnp.asarray(test.images, jnp.float32) / 255 - mean) / std)
    assert np.mean(logits.argmax(-1) == test.labels) == pytest.approx(row_of(ticket)["test_accuracy"], abs=1e-6)
    if form == "shrink":
        assert exported.weights["params/fc1/kernel"].shape[1] < 150


def test_what_computes_something_else_is_not_written(ticket, tmp_path, monkeypatch):
    monkeypatch.setattr(exported_ticket, "apply_mask", lambda params, mask: params)
    monkeypatch.setattr(
        exported_ticket, "shrink", lambda apply, variables, mask, x: (lambda v, x: 2 * apply(v, x), variables)
    )
    with pytest.raises(MaskError, match="nothing was written"):
        exported_ticket.export_ticket(ticket, tmp_path / "out", form="shrink")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--batch=5 b"], "batch='5 b'"),
        (["--platforms=abacus"], "platforms=['abacus']"),
        (["--model=lenet300"], "give --model=NAME and --dataset=NAME"),
        (["--model=conv2", "--dataset=digits"], "in the network"),
        (["--model=nothing", "--dataset=digits"], "nothing"),
        (["--model=lenet300", "--dataset=nothing"], "nothing"),
    ],
)
def test_wrong_flags_are_one_line(ticket, flags, said, tmp_path, capsys):
    assert run_command("export", [str(ticket), *flags, f"--out={tmp_path / 'out'}"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    assert said in line
    assert not (tmp_path / "out").exists()


def test_trained_weights_that_are_elsewhere_are_named(ticket, tmp_path, capsys):
    shutil.copytree(ticket, tmp_path / "alone")
    assert run_command("export", [str(tmp_path / "alone"), f"--out={tmp_path / 'out'}"]) == 2
    assert "has the weights to start from, and no run is around it" in capsys.readouterr().err
    shutil.copytree(ticket.parents[1], tmp_path / "moved/run")
    moved = tmp_path / "moved/run/tickets" / ticket.name
    assert run_command("export", [str(moved), f"--out={tmp_path / 'out'}"]) == 2
    assert f"its trained weights, {row_of(ticket)['stage']}/" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_weights_only_evaluated_are_exported(ticket, tmp_path):
    rows = storage.read_json(ticket.parents[1] / "summary.json")["rows"]
    dense = ticket.parents[2] / "stages" / next(row["stage"] for row in rows if row["branch"] == "dense")
    keys = {"dense": dense, "retrain": "finetune", "finetune_epochs": 0, "sparsities": "(0.5,)", "seeds": "(0,)"}
    flags = [f"--config.{key}={value}" for key, value in keys.items()]
    assert main.main(["--config=oneshot:model=lenet300,dataset=digits", f"--workdir={tmp_path}", *flags]) == 0
    (found,) = tmp_path.glob("oneshot-*/tickets/omp-1-0")
    assert run_command("export", [str(found), f"--out={tmp_path / 'out'}"]) == 0
    kept = jt.load_ticket(found)
    weights = jt.load_exported(tmp_path / "out").weights
    np.testing.assert_array_equal(weights["params/fc1/kernel"], kept.params["fc1"]["kernel"] * kept.mask["fc1/kernel"])
