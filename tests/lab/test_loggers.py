"""Writers and traces look on: they change nothing of what is computed, stored or hashed."""

import gzip
import json

import pytest

from jaxticket.core.errors import ConfigError
from jaxticket.experiments import resolve
from jaxticket.experiments.train import TrainExperimentOptions
from jaxticket.lab.config import config_hash
from jaxticket.lab.dry_run import make_plan
from jaxticket.training import writers
from jaxticket.training.profiling import Profiler

pytestmark = [pytest.mark.feature("watching a run")]


class Noted:
    """A writer that notes what it is given."""

    def __init__(self, folder, name, config):
        self.folder, self.config, self.points = folder, config, []
        Noted.last = self

    def write(self, label, step, values):
        self.points.append((label, step, values))

    def close(self):
        self.closed = True


def test_an_experiment_that_is_watched_is_same_experiment(make_run, small_run, tmp_path, monkeypatch):
    monkeypatch.setitem(writers.PACKAGES, "wandb", "json")
    monkeypatch.setitem(writers._WRITERS, "wandb", Noted)
    run = make_run(tmp_path, levels=1, writers=("wandb",), profile_steps=5)
    assert [row["stage"] for row in run.rows] == [row["stage"] for row in small_run.rows[:2]]
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [(label, step) for label, step, _ in Noted.last.points] == [
        (f"{line['branch']}-{line['level']}-0", line["step"]) for line in lines
    ]
    assert [values["val_accuracy"] for _, _, values in Noted.last.points] == [line["val_accuracy"] for line in lines]
    assert Noted.last.folder == run.folder
    assert Noted.last.closed
    (trace,) = run.folder.glob("profile/plugins/profile/*/perfetto_trace.json.gz")
    assert json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]


def test_hash_does_not_depend_on_who_looks_on():
    watched = TrainExperimentOptions(writers=("tensorboard", "wandb"), profile_steps=100)
    assert config_hash("train", watched) == config_hash("train", TrainExperimentOptions())


def test_what_cannot_look_on_is_refused_first(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"config.writers\[0\]='csv': must be one of tensorboard, wandb"):
        resolve({"experiment": "train", "writers": ("csv",)})
    with pytest.raises(ConfigError, match=r"config.profile_steps=-1"):
        resolve({"experiment": "train", "profile_steps": -1})
    monkeypatch.setitem(writers.PACKAGES, "wandb", "a_package_that_is_not_there")
    with pytest.raises(ConfigError, match="run `pip install a_package_that_is_not_there`"):
        make_plan(*resolve({"experiment": "train", "writers": ("wandb",)}), tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_trace_begins_after_first_call_and_ends_once(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr("jax.profiler.start_trace", lambda folder, **how: calls.append(f"start {step}"))
    monkeypatch.setattr("jax.profiler.stop_trace", lambda: calls.append(f"stop {step}"))
    profiler = Profiler(tmp_path, 3)
    for step in (1, 2, 3, 4, 5):
        profiler.advance(step, images_per_second=1.0)
    assert calls == ["start 1", "stop 4"]
    profiler.close()

    short = Profiler(tmp_path, 10)  # the network ends before
    for step in (1, 2):
        short.advance(step, images_per_second=1.0)
    short.finish("done")
    short.close()
    assert calls[2:] == ["start 1", "stop 2"]
