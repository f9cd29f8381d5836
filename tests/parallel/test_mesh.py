"""One network on many devices: the results of one device, and no more communication than that takes."""

import dataclasses
import functools
import math
import re
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxticket as jt
from jaxticket import data, models
from jaxticket.core import paths
from jaxticket.core.errors import ConfigError
from jaxticket.data.options import AugmentOptions
from jaxticket.parallel import SINGLE, MeshOptions, OnePerDevice, Sharded, choose_layout, mesh
from jaxticket.training.loop import train_runs
from jaxticket.training.options import TrainOptions
from jaxticket.training.run_spec import RunSpec
from jaxticket.training.state import Keys, Weights
from jaxticket.training.trainer import Trainer

pytestmark = [pytest.mark.feature("seeds and devices side by side")]

OPTIONS = TrainOptions(steps=12, batch_size=64, lr=0.05, momentum=0.9, weight_decay=1e-3)
BATCH = OPTIONS.batch_size
COLLECTIVES = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute|collective-broadcast"


def sharded(data_devices, fsdp=1, rules=()):
    return Sharded.of(jax.devices()[: data_devices * fsdp], fsdp, rules)


LAYOUTS = {"2": (2,), "8": (8,), "2x4": (2, 4)}


def normalised(params, model_state, images, *, train):
    """A convolution, batch normalisation and a classifier."""
    x = jax.lax.conv_general_dilated(
        images, params["conv"]["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    if train:
        mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
        model_state = {
            "mean": 0.9 * model_state["mean"] + 0.1 * mean,
            "var": 0.9 * model_state["var"] + 0.1 * var,
        }
    else:
        mean, var = model_state["mean"], model_state["var"]
    x = (x - mean[None, None, None]) * jax.lax.rsqrt(var + 1e-5)[None, None, None] * params["bn"]["scale"]
    return jax.nn.relu(x).mean((1, 2)) @ params["head"]["kernel"], model_state


def normalised_start():
    rng = np.random.default_rng(0)
    params = {
        "conv": {"kernel": rng.normal(0, 0.3, (3, 3, 1, 8))},
        "bn": {"scale": np.ones((1, 1, 1, 8))},
        "head": {"kernel": rng.normal(0, 0.3, (8, 10))},
    }
    return jax.tree.map(np.float32, Weights(params, {"mean": np.zeros(8), "var": np.ones(8)}))


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", val_fraction=0.1)


@pytest.fixture(scope="module")
def networks(digits):
    """Name -> (trainer, what it starts from)."""
    keys, augment = Keys(jax.random.key(1), jax.random.key(2)), AugmentOptions(crop_padding=1, flip=True)
    lenet = models.create_model("lenet300", num_classes=10)
    rng = np.random.default_rng(4)  # compiling the network's own initialisation would take longer than the test
    shapes = Weights(*models.abstract_variables(lenet, (8, 8, 1)))
    weights = jax.tree.map(lambda leaf: rng.normal(0, 0.1, leaf.shape).astype(np.float32), shapes)
    mask = {f"{name}/kernel": rng.random(weights.params[name]["kernel"].shape) < 0.5 for name in ("fc1", "fc2")}
    found = {
        "lenet300": (functools.partial(models.apply_model, lenet), weights, mask),
        "normalised": (normalised, normalised_start(), {"conv/kernel": np.ones((3, 3, 1, 8), bool)}),
    }
    return {
        name: (Trainer(apply, digits, OPTIONS, augment), RunSpec(weights, mask, keys))
        for name, (apply, weights, mask) in found.items()
    }


@pytest.fixture(scope="module")
def alone(networks):
    return {name: train_runs(trainer, [start])[0] for name, (trainer, start) in networks.items()}


def collectives(compiled):
    """(operation, result) -> how often a compiled function communicates in that way."""
    return Counter(re.findall(rf"= (\S+(?: \S+)*?) ({COLLECTIVES})(?:-start)?\(", compiled.as_text()))


def numbers(shapes):
    """How many numbers there are in shapes as HLO writes them."""
    return sum(math.prod(map(int, filter(None, shape.split(",")))) for shape in re.findall(r"\[([\d,]*)\]", shapes))


def step_on(layout, trainer, start):
    """The compiled step as it is dispatched: one of a convolution, a loop of the others."""
    trainer = trainer.on(layout)
    state, epoch = trainer.begin([start]), trainer.data.epoch(layout.stack([start.keys.order]), 0)
    arguments = (state, trainer.zero_sums(1), epoch)
    if trainer.steps_per_dispatch(state.params) == 1:
        return trainer.compiled.step(None).lower(*arguments).compile()
    return trainer.compiled.steps(None).lower(*arguments, jnp.int32(5)).compile()


@pytest.mark.parametrize(
    ("name", "devices"),
    [("lenet300", "8"), pytest.param("lenet300", "2x4", marks=pytest.mark.deep), ("normalised", "8")],
)
def test_training_on_many_devices_is_that_of_one(networks, alone, name, devices):
    """To 1e-5 in the weights; batch normalisation sees the whole batch."""
    trainer, start = networks[name]
    (fit,) = train_runs(trainer.on(sharded(*LAYOUTS[devices])), [start])
    wanted = alone[name]
    for path, leaf in paths.leaves((wanted.last, wanted.best, wanted.mask)).items():
        found = paths.leaves((fit.last, fit.best, fit.mask))[path]
        np.testing.assert_allclose(np.float64(found), np.float64(leaf), atol=1e-5, err_msg=path)
    for line, same in zip(fit.history, wanted.history, strict=True):
        assert line["train_loss"] == pytest.approx(same["train_loss"], rel=1e-5)
        assert line["val_accuracy"] == same["val_accuracy"]
    for path, kept in fit.mask.items():
        assert (paths.leaves(fit.last.params)[path][~np.asarray(kept)] == 0).all()


def test_one_compilation_serves_all_masks_in_place(networks):
    trainer, start = networks["lenet300"]
    layout = sharded(2, 4)
    trainer = trainer.on(layout)
    train_runs(trainer, [start])
    before = dict(trainer.compilations)
    state = trainer.begin([dataclasses.replace(start, mask=jt.full_mask(start.weights.params))])
    places = jax.tree.map(lambda leaf: leaf.sharding, state)
    epoch = trainer.data.epoch(layout.stack([start.keys.order]), 0)
    state, _ = trainer.run(state, trainer.zero_sums(1), epoch, 5)
    assert trainer.compilations == before
    same = jax.tree.map(lambda leaf, place: leaf.sharding.is_equivalent_to(place, leaf.ndim), state, places)
    assert all(jax.tree.leaves(same))
    divided = {path: leaf.sharding.spec for path, leaf in paths.leaves(state.params).items() if leaf.sharding.spec}
    assert divided == {"fc1/kernel": jax.P(None, "fsdp"), "fc2/kernel": jax.P("fsdp")}


@pytest.mark.parametrize("name", ["lenet300", "normalised"])
def test_a_step_sums_gradients_and_moves_no_data(networks, name):
    """Issue: an all-reduce of the gradients, and nothing of the images."""
    trainer, start = networks[name]
    found = collectives(step_on(sharded(8), trainer, start))
    assert {kind for _, kind in found} == {"all-reduce"}
    parameters = sum(leaf.size for leaf in jax.tree.leaves(start.weights.params))
    summed = sum(numbers(shapes) * count for (shapes, _), count in found.items())
    # Besides the gradients: loss, correct answers, and per channel what batch normalisation needs.
    assert parameters <= summed <= parameters + 2 + 8 * 8 * (name == "normalised")


def test_divided_parameters_are_gathered_and_activations_are_not(networks):
    trainer, start = networks["lenet300"]
    found = collectives(step_on(sharded(2, 4), trainer, start))
    gathered = sorted(numbers(shapes) for shapes, kind in found if kind == "all-gather")
    assert gathered == [64 * 300, 300 * 100]
    assert {kind for _, kind in found} == {"all-gather", "all-reduce"}
    assert not [
        shapes for shapes, _ in found if re.search(rf"\[{BATCH}[,\]]|\[{BATCH // 2},", shapes) and "300" not in shapes
    ]


def test_eight_replicates_of_lenet300_do_not_communicate(networks):
    trainer, start = networks["lenet300"]
    layout = OnePerDevice.of(jax.devices())
    trainer = trainer.on(layout)
    state, epoch = trainer.begin([start] * 8), trainer.data.epoch(layout.stack([start.keys.order] * 8), 0)
    compiled = trainer.compiled.step(None).lower(state, trainer.zero_sums(8), epoch).compile()
    assert "num_partitions=8" in compiled.as_text()
    assert not collectives(compiled)


@pytest.fixture(scope="module")
def large():
    """Parameters, a mask and scores, the same on one device and divided."""
    rng = np.random.default_rng(3)
    shapes = {"a/kernel": (64, 304), "c/kernel": (3, 3, 64, 64)}
    params = paths.nest({path: rng.normal(size=shape).astype(np.float32) for path, shape in shapes.items()})
    mask = {path: rng.random(shape) < 0.8 for path, shape in shapes.items()}
    # Many ties, so that their order counts.
    scores = {path: np.round(np.abs(leaf), 1) for path, leaf in paths.leaves(params).items()}
    return params, mask, scores


@pytest.mark.smoke
def test_pruning_of_divided_leaves_gives_same_bits(large):
    _, mask, scores = large
    layout = sharded(2, 4)
    own_mask, own_scores = layout.stack([mask]), layout.stack([scores])
    assert all(leaf.sharding.spec != jax.P() for leaf in own_scores.values())
    prune = jax.jit(functools.partial(jt.prune, rate=0.3))
    compiled = prune.lower(own_mask, own_scores).compile()
    sent = [numbers(shapes) for shapes, _ in collectives(compiled)]
    assert sent
    assert max(sent) <= 64
    found = compiled(own_mask, own_scores)
    for path, kept in jt.prune(mask, scores, rate=0.3).items():
        np.testing.assert_array_equal(found[path], kept)
        assert found[path].sharding.is_equivalent_to(own_mask[path].sharding, kept.ndim)


def test_scores_of_divided_leaves_stay_in_place(large):
    params, mask, _ = large
    layout = sharded(2, 4)
    own_params, own_mask = layout.stack([params]), layout.stack([mask])
    own_scores = jt.magnitude(own_params, own_mask)
    scores = jt.magnitude(params, mask)
    found, wanted = jt.refill(own_mask, own_scores, rate=0.3), jt.refill(mask, scores, rate=0.3)
    for path, kept in wanted.items():
        np.testing.assert_array_equal(own_scores[path], scores[path])
        np.testing.assert_array_equal(found[path], kept)
        for leaf in (own_scores[path], found[path]):
            assert leaf.sharding.is_equivalent_to(own_mask[path].sharding, kept.ndim)


@pytest.mark.parametrize(
    "criterion", [pytest.param(name, marks=pytest.mark.deep) for name in ("snip", "grasp", "synflow")]
)
def test_scores_of_divided_parameters_and_batches(networks, criterion):
    _, start = networks["lenet300"]
    lenet = models.create_model("lenet300", num_classes=10)
    layout = sharded(2, 4)
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(BATCH, 8, 8, 1)).astype(np.float32), rng.integers(0, 10, BATCH).astype(np.int32)

    def apply(params, x):
        return models.apply_model(lenet, params, {}, x, train=False)[0]

    def scores(params, mask, batch):
        if criterion == "synflow":
            return jt.synflow(apply, params, mask, (1, 8, 8, 1))
        return getattr(jt, criterion)(apply, params, mask, [batch])

    found = scores(*layout.stack([(start.weights.params, start.mask)]), layout.assemble((images, labels)))
    wanted = scores(start.weights.params, start.mask, (images, labels))
    for path, leaf in wanted.items():
        np.testing.assert_allclose(found[path], leaf, rtol=1e-4, atol=1e-5 * float(np.abs(leaf).max()))
    assert found["fc1/kernel"].sharding.spec == jax.P(None, "fsdp")


def test_where_leaves_lie():
    layout = sharded(2, 4, (("head/.*", 0), ("stem/kernel", -1)))
    assert layout.sharding("params/fc/kernel", (64, 304)).spec == jax.P(None, "fsdp")
    assert layout.sharding("params/fc/kernel", (304, 302)).spec == jax.P("fsdp")
    assert layout.sharding("params/fc/kernel", (301, 302)).spec == jax.P()
    assert layout.sharding("params/fc/kernel", (64, 100)).spec == jax.P()
    assert layout.sharding("", (50_000,)).spec == jax.P()  # the order of an epoch
    assert layout.sharding("opt_state/0/trace/head/kernel", (64, 304)).spec == jax.P("fsdp")
    assert layout.sharding("mask/stem/kernel", (64, 304)).spec == jax.P()
    assert layout.sharding("params/my_stem/kernel", (64, 304)).spec == jax.P(None, "fsdp")
    with pytest.raises(
        ConfigError, match=r"config\.mesh\.rules: axis 0 of params/head/bias \(10,\) cannot be divided by"
    ):
        layout.sharding("params/head/bias", (10,))


@pytest.mark.parametrize(
    ("options", "batch_size", "message"),
    [
        (MeshOptions(data=8), 100, r"config\.train\.batch_size=100: .* the 8 devices .* such as 96; or use fewer"),
        (MeshOptions(fsdp=3), 64, r"config\.train\.batch_size=64: .* the 6 devices .* such as 60; or use fewer"),
        (MeshOptions(data=16), 64, r"config\.mesh\.fsdp=1 with config\.mesh\.data=16: must be at most the 8 devices"),
        (MeshOptions(fsdp=9), 81, r"config\.mesh\.fsdp=9 with config\.mesh\.data=0: must be at most the 8 devices"),
    ],
)
def test_devices_that_do_not_fit_are_refused(options, batch_size, message):
    with pytest.raises(ConfigError, match=message):
        choose_layout(options, batch_size)


def test_the_devices_of_a_run(monkeypatch):
    assert choose_layout(MeshOptions(), 100) is SINGLE
    assert choose_layout(MeshOptions(data=1), 100) is SINGLE
    assert dict(choose_layout(MeshOptions(fsdp=2), 64).mesh.shape) == {"data": 4, "fsdp": 2}
    assert dict(choose_layout(MeshOptions(fsdp=2), 6).mesh.shape) == {"data": 3, "fsdp": 2}
    assert choose_layout(MeshOptions(data=2), 64).mesh.size == 2
    monkeypatch.setattr(mesh.processes, "is_multiprocess", lambda: True)
    assert choose_layout(MeshOptions(), 64).mesh.size == 8
    with pytest.raises(ConfigError, match=r"config\.mesh\.data=4 .*: a run of several processes uses all 8 devices"):
        choose_layout(MeshOptions(data=4), 64)
    with pytest.raises(ConfigError, match=r"config\.train\.batch_size=60: "):
        choose_layout(MeshOptions(), 60)
