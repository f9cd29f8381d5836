"""Learning curves for other tools: what they are given, and what is said where their package is missing."""

import importlib.util
import struct
import sys
import types

import pytest

from jaxticket.core.errors import ConfigError
from jaxticket.training.writers import Curves, check_writers, open_writers

pytestmark = [pytest.mark.feature("watching a run")]

EPOCHS = [
    {"epoch": 1, "step": 10, "train_loss": 2.0, "val_accuracy": None, "learning_rate": 0.1},
    {"epoch": 2, "step": 20, "train_loss": 1.0, "val_accuracy": 0.75, "learning_rate": 0.1},
]


class FakeRun:
    """What `wandb.init` returns, as far as it is used."""

    def __init__(self):
        self.metrics, self.logged, self.finished = [], [], False

    def define_metric(self, name, **how):
        self.metrics.append((name, how))

    def log(self, values):
        self.logged.append(values)

    def finish(self):
        self.finished = True


@pytest.fixture
def wandb(monkeypatch):
    """A `wandb` that notes what it is told; `.run` is the run, `.told` the arguments of `init`."""
    module = types.ModuleType("wandb")
    module.__spec__ = importlib.util.spec_from_loader("wandb", loader=None)
    module.run = FakeRun()
    module.init = lambda **told: setattr(module, "told", told) or module.run
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def curves(names, folder):
    watching = Curves(open_writers(names, folder, {"levels": 2}))
    for label in ("dense-0-0", "imp-1-0 to imp-1-2"):
        watching.start(label, steps=20, done=0)
        for record in EPOCHS:
            watching.epoch(record)
    watching.close()


def test_wandb_gets_one_run_with_all_curves(wandb, tmp_path):
    curves(("wandb",), tmp_path / "imp-1a2b3c4d")
    assert wandb.told["id"] == wandb.told["name"] == "imp-1a2b3c4d"
    assert wandb.told["resume"] == "allow"
    assert wandb.told["config"] == {"levels": 2}
    assert [metric for metric in wandb.run.metrics if "*" in metric[0]] == [
        ("dense-0-0/*", {"step_metric": "dense-0-0/step"}),
        ("imp-1-0_to_imp-1-2/*", {"step_metric": "imp-1-0_to_imp-1-2/step"}),
    ]
    assert wandb.run.logged[1] == {
        "dense-0-0/step": 20,
        "dense-0-0/epoch": 2.0,
        "dense-0-0/train_loss": 1.0,
        "dense-0-0/val_accuracy": 0.75,
        "dense-0-0/learning_rate": 0.1,
    }
    assert "dense-0-0/val_accuracy" not in wandb.run.logged[0], "what is not known is not written"
    assert len(wandb.run.logged) == 4
    assert wandb.run.finished


def test_tensorboard_gets_a_folder_for_each_network(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    curves(("tensorboard",), tmp_path)
    runs = sorted((tmp_path / "tensorboard").iterdir())
    assert [run.name for run in runs] == ["dense-0-0", "imp-1-0_to_imp-1-2"]
    for run in runs:
        (file,) = run.iterdir()
        stored, points = file.read_bytes(), []
        while stored:  # TFRecord: length, its checksum, the event, its checksum
            (length,) = struct.unpack("<Q", stored[:8])
            event, stored = Event.FromString(stored[12 : 12 + length]), stored[16 + length :]
            points += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        assert [point for point in points if point[0] != "epoch" and point[0] != "learning_rate"] == [
            ("train_loss", 10, 2.0),
            ("train_loss", 20, 1.0),
            ("val_accuracy", 20, 0.75),
        ]


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_missing_package_is_named_with_its_command(name, package, monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None)
    with pytest.raises(ConfigError, match=rf"config.writers='{name}'.*{package}.*`pip install {package}`"):
        open_writers((name,), tmp_path, {})
    assert list(tmp_path.iterdir()) == []


def test_unknown_writer_is_refused_and_none_is_nothing(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'tensorboard'"):
        check_writers(("tensorbord",))
    assert open_writers((), tmp_path, {}) == []
