"""Seeds side by side: the same stages, rows and tickets as one after the other, found by either, in all weathers."""

import dataclasses
import itertools
import json
import threading
import types

import numpy as np
import pytest

import jaxticket as jt
from jaxticket.core import paths
from jaxticket.core.errors import ConfigError, TrainingError
from jaxticket.experiments import run_experiment
from jaxticket.lab import requests, seeds
from jaxticket.lab import setting as setting_module
from jaxticket.lab.seeds import choose_replication, divide, in_lockstep, submit
from jaxticket.lab.stages.find_or_run import Stages
from jaxticket.lab.stages.journal import write_journal
from jaxticket.lab.stages.references import read_weights
from jaxticket.parallel import SINGLE
from jaxticket.training.interrupts import InterruptedRun, Interrupts
from jaxticket.training.progress import Quiet

pytestmark = [pytest.mark.feature("seeds and devices side by side")]

SEEDS = (4, 1, 2)
SMALL = {"seeds": SEEDS, "levels": 2, "train.optimizer": "sgd", "train.lr": 0.1}


@pytest.fixture(scope="module")
def serial(tmp_path_factory, make_run):
    return make_run(tmp_path_factory.mktemp("serial"), seed_parallelism="serial", **SMALL)


@pytest.fixture(scope="module", params=["vmap", "devices"])
def parallel(request, tmp_path_factory, make_run):
    return make_run(tmp_path_factory.mktemp(request.param), seed_parallelism=request.param, **SMALL)


def without_time(rows):
    return [{**row, "seconds": 0, "cached": 0} for row in rows]


def bits(run):
    """Everything that was computed, to the last bit."""
    files = {file.relative_to(run.workdir): file.read_bytes() for file in run.workdir.glob("stages/*/*.safetensors")}
    return files, without_time(run.rows)


def test_seeds_side_by_side_equal_seeds_in_turn(serial, parallel):
    assert parallel.folder.name == serial.folder.name
    for row, same in zip(parallel.rows, serial.rows, strict=True):
        assert {key: row[key] for key in ("branch", "level", "seed", "stage", "ticket", "kept")} == {
            key: same[key] for key in ("branch", "level", "seed", "stage", "ticket", "kept")
        }
        assert row["train_loss"] == pytest.approx(same["train_loss"], rel=1e-4)
        assert row["test_accuracy"] == same["test_accuracy"]
        for name in ("last", "best"):
            file = f"{name}.safetensors"
            weights, expected = read_weights(parallel.stage(row) / file), read_weights(serial.stage(same) / file)
            for path, leaf in paths.leaves(weights.params).items():
                np.testing.assert_allclose(leaf, paths.leaves(expected.params)[path], atol=2e-5)
        if row["ticket"]:
            mask, other = (jt.load_ticket(run.folder / "tickets" / row["ticket"]).mask for run in (parallel, serial))
            assert all((mask[path] == other[path]).all() for path in mask)


def test_curves_are_in_order_of_seeds(serial, parallel):
    def curves(run):
        lines = map(json.loads, (run.folder / "metrics.jsonl").read_text().splitlines())
        return [(line["seed"], line["branch"], line["level"], line["epoch"], line["learning_rate"]) for line in lines]

    assert curves(parallel) == curves(serial)
    by_level = itertools.groupby(sorted(parallel.rows, key=lambda row: row["level"]), key=lambda row: row["level"])
    for _, rows in by_level:
        assert len({row["seconds"] for row in rows}) == 1


def test_stages_are_found_by_the_other_choice(serial, parallel, make_run, monkeypatch):
    monkeypatch.setattr(requests, "train_runs", lambda *_, **__: pytest.fail("trained again"))
    for run in (serial, parallel):
        for choice in ("serial", "vmap", "devices"):
            again = make_run(run.workdir, seed_parallelism=choice, **SMALL)
            assert all(row["cached"] for row in again.rows)
            assert without_time(again.rows) == without_time(run.rows)


def test_only_the_missing_seeds_are_trained(serial, make_run, monkeypatch, tmp_path):
    groups = []
    train = requests.train_runs
    monkeypatch.setattr(
        requests,
        "train_runs",
        lambda trainer, specs, **k: groups.append([s.label for s in specs]) or train(trainer, specs, **k),
    )
    changes = SMALL | {"train.epochs": 1, "levels": 1}
    make_run(tmp_path, seed_parallelism="vmap", **changes | {"seeds": (1,)})
    assert groups == [["dense-0-1"], ["imp-1-1"]]
    groups.clear()
    make_run(tmp_path, seed_parallelism="vmap", **changes | {"levels": 2})
    # Seed 1 is a level ahead and trains along with what the others need.
    assert groups == [["dense-0-4", "imp-2-1", "dense-0-2"], ["imp-1-4", "imp-1-2"], ["imp-2-4", "imp-2-2"]]


def test_train_step_is_compiled_once(make_run, tmp_path, monkeypatch):
    trainers = []
    trainer = setting_module.Trainer
    monkeypatch.setattr(setting_module, "Trainer", lambda *a: trainers.append(trainer(*a)) or trainers[-1])
    make_run(tmp_path, seed_parallelism="vmap", **SMALL | {"train.epochs": 1, "data.val_fraction": 0.1})
    assert [made.compilations for made in trainers] == [{"train_step": 1, "evaluate": 2}]


class StopAt(Quiet):
    """Asks for a stop at a step of the networks whose label begins so."""

    def __init__(self, interrupts, label, step):
        self.interrupts, self.wanted, self.at, self.label = interrupts, label, step, ""

    def start(self, label, *, steps, done, networks):
        self.label = label

    def advance(self, step, *, images_per_second):
        if self.label.startswith(self.wanted) and step >= self.at:
            self.interrupts.requested = True


def test_interrupted_side_by_side_continues_to_same_bits(parallel, tmp_path, make_run):
    changes = {"train.steps_per_dispatch": 3, "seed_parallelism": parallel.options.seed_parallelism, **SMALL}
    interrupts = Interrupts()
    options = dataclasses.replace(
        parallel.options, train=dataclasses.replace(parallel.options.train, steps_per_dispatch=3)
    )
    stop = StopAt(interrupts, "imp-1", 3)
    with pytest.raises(InterruptedRun):
        run_experiment(parallel.experiment, options, tmp_path, progress=lambda _: stop, interrupts=interrupts)
    assert not _seed_threads()
    assert len(list(tmp_path.glob("stages/*/checkpoints-*"))) == 1
    again = make_run(tmp_path, **changes)
    assert [row["cached"] for row in again.rows if row["level"] == 0] == [True] * 3
    assert bits(again) == bits(parallel)
    assert not list(tmp_path.glob("stages/*/checkpoints*"))


def _seed_threads():
    return [thread for thread in threading.enumerate() if type(thread).__name__ == "_SeedThread"]


def test_killed_while_stages_are_declared_complete_stays_together(tmp_path):
    cache = Stages(tmp_path, execute=True, note=pytest.fail)
    stages = [cache.find("train", 1, {"seed": seed}, {}) for seed in (0, 1, 2)]
    for stage in stages:
        (stage.folder / "checkpoints-x").mkdir(parents=True)
        (stage.folder / "file").write_text(stage.id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stages, "_complete", lambda self, results: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            cache.finish([(stage, ["file"], {"seed": seed}) for seed, stage in enumerate(stages)])
    assert not list(tmp_path.glob("*/manifest.json"))
    again = Stages(tmp_path, execute=True, note=pytest.fail)
    found = [again.find("train", 1, {"seed": seed}, {}) for seed in (0, 1, 2)]
    assert [stage.content for stage in found] == [{"seed": 0}, {"seed": 1}, {"seed": 2}]
    assert sorted(path.name for path in tmp_path.glob("train-*/*")) == ["file"] * 3 + ["manifest.json"] * 3


def test_undeclared_lost_results_are_done_again(tmp_path):
    folder, notes = tmp_path / "train-0123456789ab", []
    write_journal(folder / "finished.json", {folder.name: {"files": ["gone"], "content": {}}})
    Stages(tmp_path, execute=True, note=notes.append)
    assert len(notes) == 1
    assert "gone" in notes[0]
    assert not list(folder.iterdir())


def test_seed_that_diverges_is_named(make_run, tmp_path, monkeypatch):
    train = requests.train_runs

    def spoiled(spec):
        return dataclasses.replace(spec, weights=_times(spec.weights, 1e38)) if spec.label == "dense-0-1" else spec

    monkeypatch.setattr(requests, "train_runs", lambda trainer, specs, **k: train(trainer, [*map(spoiled, specs)], **k))
    with pytest.raises(TrainingError, match=r"^dense-0-1: the loss is not finite at step 0 "):
        make_run(tmp_path, seed_parallelism="vmap", **SMALL)
    assert not _seed_threads()
    assert not list(tmp_path.glob("stages/train-*/manifest.json"))


def _times(weights, factor):
    flat = {path: leaf * np.float32(factor) for path, leaf in paths.leaves(weights.params).items()}
    return weights._replace(params=paths.nest(flat))


def test_functions_in_lockstep_run_one_by_one():
    told, asked = [], []

    def function(name, questions):
        for number in range(questions):
            told.append((name, *submit([(name, number)])))
        return name.upper()

    def answer(questions):
        asked.append(questions)
        return [f"{name}{number}" for name, number in questions]

    functions = [lambda: function("a", 1), lambda: function("b", 3), lambda: function("c", 2)]
    assert in_lockstep(functions, answer) == ["A", "B", "C"]
    assert asked == [[("a", 0), ("b", 0), ("c", 0)], [("b", 1), ("c", 1)], [("b", 2)]]
    assert told == [("a", "a0"), ("b", "b0"), ("c", "c0"), ("b", "b1"), ("c", "c1"), ("b", "b2")]


@pytest.mark.parametrize("where", ["first", "second", "answer"])
def test_error_in_lockstep_ends_everything_and_is_raised(where):
    cleaned, after = [], []

    def function(name):
        try:
            if name == where:
                raise ValueError(name)
            submit([name])
            after.append(name)
        finally:
            cleaned.append(name)

    def answer(questions):
        raise ValueError("answer")

    with pytest.raises(ValueError, match=where):
        in_lockstep([lambda: function("first"), lambda: function("second")], answer)
    assert not after
    assert cleaned == (
        ["first"]
        if where == "first"
        else ["second", "first"]
        if where == "second"
        else [
            "first",
            "second",
        ]
    )
    assert not _seed_threads()


def dense(inputs, width):
    return {"fc1": {"kernel": np.zeros((inputs, width))}, "head": {"kernel": np.zeros((width, 10))}}


@pytest.mark.parametrize(
    ("platform", "devices", "params", "batch_size", "expected"),
    [
        ("cpu", 8, dense(64, 300), 64, "vmap"),
        ("cpu", 8, dense(64, 300), 32, "serial"),
        ("cpu", 1, dense(784, 300), 128, "serial"),
        ("gpu", 1, dense(784, 300), 16, "vmap"),
        ("gpu", 1, {"conv": {"kernel": np.zeros((3, 3, 1, 8))}}, 128, "serial"),
        ("gpu", 4, {"conv": {"kernel": np.zeros((3, 3, 1, 8))}}, 128, "devices"),
    ],
)
def test_auto_by_machine_and_network(monkeypatch, platform, devices, params, batch_size, expected):
    """Small dense nets in one program; convolutions apart; a device each where there are several accelerators."""
    found = [types.SimpleNamespace(platform=platform)] * devices
    monkeypatch.setattr(seeds.jax, "local_devices", lambda: found)
    assert choose_replication("auto", params, batch_size) == expected
    assert [choose_replication(choice, params, batch_size) for choice in ("serial", "vmap")] == ["serial", "vmap"]


def wanted(count, choice, *, streams=False, dynamic_length=False):
    setting = types.SimpleNamespace(
        options=types.SimpleNamespace(seed_parallelism=choice, train=types.SimpleNamespace(batch_size=64)),
        shapes=types.SimpleNamespace(params=dense(64, 300)),
        spec=types.SimpleNamespace(name="imagenet2012"),
        layout_of=lambda train: SINGLE,
        trainer_of=lambda train: types.SimpleNamespace(streams=streams),
    )
    return [types.SimpleNamespace(setting=setting, dynamic_length=dynamic_length, train=None)] * count


def test_groups_are_divided_among_the_devices():
    parts = list(divide(wanted(19, "devices")))
    assert [len(members) for members, _ in parts] == [8, 8, 3]
    assert [layout.mesh.size for _, layout in parts] == [8, 8, 3]
    assert [len(members) for members, _ in divide(wanted(9, "devices"))] == [8, 1]
    (part,) = divide(wanted(19, "vmap"))
    assert len(part[0]) == 19


def test_what_may_end_early_is_trained_alone():
    parts = divide(wanted(3, "devices", dynamic_length=True))
    assert [(len(members), layout) for members, layout in parts] == [(1, SINGLE)] * 3


def test_streamed_data_is_trained_on_alone():
    parts = divide(wanted(3, "auto", streams=True))
    assert [(len(members), layout) for members, layout in parts] == [(1, SINGLE)] * 3
    with pytest.raises(
        ConfigError, match=r"config\.seed_parallelism='vmap': needs data in memory, and imagenet2012 is str"
    ):
        list(divide(wanted(2, "vmap", streams=True)))


def test_devices_need_more_than_one(monkeypatch):
    monkeypatch.setattr(seeds.jax, "local_devices", lambda: [object()])
    with pytest.raises(ConfigError, match=r"config\.seed_parallelism='devices': found 1 device; use 'auto'"):
        choose_replication("devices", {}, 64)
