"""Plain networks in files of a user's own, Linen and NNX, by path: planned and run by every experiment."""

import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from jaxticket import experiments, models
from jaxticket.main import main
from jaxticket.models.linen import in_mode
from jaxticket.models.network_row import MODES

pytestmark = [pytest.mark.feature("extensions")]

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
NETWORKS = {"linen": f"{FOLDER}/linen_net.py:LinenNet", "nnx": f"{FOLDER}/nnx_net.py:NNXNet"}
networks = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


def test_documentation_shows_the_files():
    page = (ROOT / "docs" / "your_own.md").read_text()
    for name in ("linen_net.py", "nnx_net.py"):
        assert f"```python\n{(FOLDER / name).read_text()}```" in page


@networks
@pytest.mark.parametrize("experiment", experiments.names())
def test_every_experiment_plans_it(experiment, network, tmp_path):
    data = "" if experiment == "transfer" else ",dataset=digits"
    config = f"--config={experiment}:model={network}{data}"
    assert main([config, f"--workdir={tmp_path}", "--dry_run"]) == 0


def run(experiment, network, workdir, *arguments):
    """The rows of one short run."""
    short = ("--config.train.epochs=1", "--config.seeds=(0,)", f"--workdir={workdir}", *arguments)
    before = set(workdir.glob("*/summary.json"))
    assert main([f"--config={experiment}:model={network},dataset=digits", *short]) == 0
    (summary,) = set(workdir.glob("*/summary.json")) - before
    return json.loads(summary.read_text())["rows"]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@networks
def test_it_is_pruned_and_trained(network, workdir):
    dense, pruned = run("imp", network, workdir, "--config.levels=1")
    assert pruned["sparsity"] == pytest.approx(0.2, abs=0.001)
    assert dense["train_loss"] > 0
    without = run("imp", network, workdir, "--config.levels=1", "--config.model.options={'rate': 0.0}")
    assert without[0]["train_loss"] < dense["train_loss"]  # dropout acts
    (again,) = run("train", network, workdir, "--rerun=train")
    assert (again["train_loss"], again["test_loss"]) == (dense["train_loss"], dense["test_loss"])


@networks
@pytest.mark.parametrize(
    ("experiment", "arguments"),
    [
        ("oneshot", ["--config.sparsities=(0.5,)", "--config.prune.criterion=wanda"]),
        ("structured", ["--config.levels=1", "--config.rewind_epochs=0"]),
        ("imp", ["--config.levels=1", "--config.aids.ghost_skips=True", "--config.aids.activation=swish"]),
    ],
)
def test_its_layers_and_activations_are_seen(experiment, arguments, network, workdir):
    assert run(experiment, network, workdir, *arguments)[-1]["sparsity"] > 0


TWINS = """
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import nnx


def wave(key, shape, dtype=jnp.float32, **_):
    return jnp.array(0.2 * np.cos(1.7 * np.arange(np.prod(shape))).reshape(shape), dtype)


class Linen(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, x, use_running_average):
        x = nn.Conv(8, (3, 3), kernel_init=wave, name="conv")(x)
        x = nn.relu(nn.BatchNorm(use_running_average, name="norm")(x)).mean(axis=(1, 2))
        return nn.Dense(self.num_classes, kernel_init=wave, name="head")(x)


class NNX(nnx.Module):
    def __init__(self, num_classes, *, rngs):
        self.conv = nnx.Conv(1, 8, (3, 3), kernel_init=wave, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.head = nnx.Linear(8, num_classes, kernel_init=wave, rngs=rngs)

    def __call__(self, x):
        return self.head(nnx.relu(self.norm(self.conv(x))).mean(axis=(1, 2)))
"""


@pytest.mark.parametrize("criterion", ["magnitude", "wanda"])
def test_equal_networks_have_equal_rows(criterion, tmp_path):
    (tmp_path / "twins.py").write_text(TWINS)
    arguments = (f"--config.prune.criterion={criterion}", "--config.sparsities=(0.5,)")
    rows = [run("oneshot", f"{tmp_path}/twins.py:{name}", tmp_path, *arguments) for name in ("Linen", "NNX")]
    for linen, other in zip(*rows, strict=True):
        for key in ("sparsity", "layer_sparsity", "train_loss", "test_loss", "val_accuracy", "test_accuracy"):
            assert linen[key] == other[key]


def scaled(mode):
    """A class of modules that takes a mode in its call, and one that has it as a field."""
    call = f"def __call__(self, x, {mode}): return x * (2.0 if {mode} else 3.0)"
    field = f"def __call__(self, x): return x * (2.0 if self.{mode} else 3.0)"
    names = {}
    exec(call, names)
    by_call = type("ByCall", (nn.Module,), {"__call__": names["__call__"]})
    exec(field, names)
    fields = {"__annotations__": {mode: bool}, mode: None}
    by_field = type("ByField", (nn.Module,), {**fields, "__call__": names["__call__"]})
    return by_call(), by_field()


@pytest.mark.parametrize("mode", MODES)
def test_every_usual_name_of_training_is_understood(mode):
    for model in scaled(mode):
        found = []
        for train in (True, False):
            one, how = in_mode(model, train=train)
            found.append(float(one.apply({}, 1.0, **how)))
        assert found == ([2.0, 3.0] if MODES[mode] else [3.0, 2.0])


def make_linen(classes, width=4):
    return nn.Sequential([lambda x: x.reshape(x.shape[0], -1), nn.Dense(width), nn.Dense(classes)])


def make_nnx(n_labels, input_shape, *, rngs):
    size = int(np.prod(input_shape))
    return nnx.Sequential(lambda x: x.reshape(x.shape[0], -1), nnx.Linear(size, n_labels, rngs=rngs))


@pytest.mark.parametrize(("name", "options"), [("make_linen", {"width": 6}), ("make_nnx", {})])
def test_functions_make_networks_too(name, options):
    model = models.create_model(f"{__file__}:{name}", num_classes=7, image_shape=(4, 4, 1), **options)
    params, state = models.init_variables(model, jax.random.key(0), (4, 4, 1))
    logits, _ = models.apply_model(model, params, state, jnp.ones((2, 4, 4, 1)), train=True)
    assert logits.shape == (2, 7)


def test_dropout_follows_the_key():
    model = models.create_model(NETWORKS["linen"], num_classes=3)
    params, state = models.init_variables(model, jax.random.key(0), (8, 8, 1))

    def logits(train, key=None):
        return models.apply_model(model, params, state, jnp.ones((2, 8, 8, 1)), train=train, key=key)[0].tolist()

    assert logits(True, jax.random.key(1)) != logits(True, jax.random.key(2))
    assert logits(True) == logits(True)
    assert logits(False, jax.random.key(1)) == logits(False, jax.random.key(2))


def test_plan_says_what_leaves_parameters_out(tmp_path, capsys):
    arguments = [f"--workdir={tmp_path}", "--dry_run"]
    assert main([f"--config=imp:model={NETWORKS['nnx']},dataset=digits", *arguments]) == 0
    said = capsys.readouterr().out
    assert re.search(r"head/kernel .* - .*named stem or head", said)
    assert "the first and the last layer are pruned too" not in said
    rules = "--config.prune.rules=(('Dense_.*', False), ('.*kernel', True), ('.*', False))"
    assert main([f"--config=imp:model={NETWORKS['linen']},dataset=digits", *arguments]) == 0
    assert "the first and the last layer are pruned too" in capsys.readouterr().out
    assert main([f"--config=imp:model={NETWORKS['linen']},dataset=digits", rules, *arguments]) == 0
    assert re.search(r"Dense_1/kernel .* - .*rule Dense_\.\*", capsys.readouterr().out)
