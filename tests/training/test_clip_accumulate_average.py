"""Gradients that are clipped and accumulated, and weights that are averaged, against Optax by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxticket.core import paths
from jaxticket.core.masks import apply_mask
from jaxticket.parallel import OnePerDevice, Sharded, Vmapped
from jaxticket.training.interrupts import InterruptedRun, Interrupts
from jaxticket.training.loop import train_runs
from jaxticket.training.mask_updates import Regrowth
from jaxticket.training.options import TrainOptions
from jaxticket.training.progress import Quiet
from jaxticket.training.run_spec import RunSpec
from jaxticket.training.state import Keys
from jaxticket.training.trainer import Trainer
from tests.train_one import train_one

pytestmark = [pytest.mark.feature("training")]

ALL = TrainOptions(
    steps=11, epochs=0, batch_size=16, lr=0.5, weight_decay=1e-2, clip_norm=0.2, accumulate_steps=3, ema_decay=0.7
)


class StopAt(Quiet):
    def __init__(self, interrupts, step):
        self.interrupts, self.at = interrupts, step

    def advance(self, step, *, images_per_second):
        self.interrupts.requested = step >= self.at


def bits(tree):
    return {path: np.asarray(leaf).tobytes() for path, leaf in paths.leaves(tree).items()}


def by_hand(trainer, network, spec, options, steps):
    """The last parameters, and their average, by Optax's own transformations applied outside of any step."""
    rate, optimizer, average = options.lr, optax.identity(), optax.ema(options.ema_decay or 0.5)
    if options.clip_norm:
        optimizer = optax.clip_by_global_norm(options.clip_norm)
    optimizer = optax.chain(optimizer, optax.add_decayed_weights(options.weight_decay), optax.trace(options.momentum))
    params = apply_mask(jax.tree.map(jnp.asarray, spec.weights.params), spec.mask)
    state, averaged_state, averaged, gradients = optimizer.init(params), average.init(params), None, []
    for step in range(steps):
        data = trainer.data.epoch(spec.keys.order, step // trainer.duration.steps_per_epoch)
        raw, labels = data.take(jnp.int32(step), trainer.batches)

        def loss(params, raw=raw, labels=labels):
            logits, _ = network(params, spec.weights.model_state, trainer.batches.for_evaluation(raw), train=True)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        gradients.append(apply_mask(jax.grad(loss)(params), spec.mask))
        if len(gradients) < options.accumulate_steps:
            continue
        mean = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *gradients)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(mean, state, params)
            params = jax.tree.map(lambda p, u: p - rate * u, params, updates)
            averaged, averaged_state = average.update(params, averaged_state)
        gradients = []
    return params, averaged


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"accumulate_steps": 1, "ema_decay": 0.0}, id="clip"),
        pytest.param({"clip_norm": 0.0, "ema_decay": 0.0}, id="accumulate"),
        pytest.param({"clip_norm": 0.0, "accumulate_steps": 1}, id="average"),
        pytest.param({}, id="all"),
    ],
)
def test_training_is_that_of_optax(dataset, network, start, mask, keys, changes):
    options, spec = dataclasses.replace(ALL, **changes), RunSpec(start, mask, keys)
    trainer = Trainer(network, dataset, options)
    result, snapshots = train_one(trainer, start, mask, keys), {}
    params, averaged = by_hand(trainer, network, spec, options, 11)
    wanted = averaged if options.ema_decay else params
    for path, leaf in paths.leaves(result.last.params).items():
        np.testing.assert_allclose(leaf, paths.leaves(wanted)[path], atol=2e-6, err_msg=path)
    if options.ema_decay:  # where training continues from are the weights themselves
        train_one(trainer, start, mask, keys, snapshot_step=9, store=snapshots.__setitem__)
        params, _ = by_hand(trainer, network, spec, options, 9)
        for path, leaf in paths.leaves(snapshots["snapshot"].params).items():
            np.testing.assert_allclose(leaf, paths.leaves(params)[path], atol=2e-6, err_msg=path)


def test_clipping_acts_on_norm_of_kept_weights(dataset, network, start, mask, keys):
    """One step of plain SGD has the length `lr * clip_norm`, and the direction of the one that is not clipped."""
    options = TrainOptions(steps=1, epochs=0, batch_size=70, lr=1.0, momentum=0.0)
    moved = {}
    for clip in (0.0, 1e-3):
        trainer = Trainer(network, dataset, dataclasses.replace(options, clip_norm=clip))
        last = train_one(trainer, start, mask, keys).last.params
        begun = apply_mask(jax.tree.map(jnp.asarray, start.params), mask)
        moved[clip] = np.concatenate(
            [np.ravel(a - b) for a, b in zip(*map(jax.tree.leaves, (last, begun)), strict=True)]
        )
    whole, clipped = moved.values()
    np.testing.assert_allclose(np.linalg.norm(clipped), 1e-3, rtol=1e-3)
    np.testing.assert_allclose(clipped / 1e-3, whole / np.linalg.norm(whole), atol=2e-3)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("rule", [None, Regrowth("random", 2, 10)], ids=["fixed", "moving"])
def test_pruned_weights_are_zero_in_everything(dataset, network, start, mask, keys, optimizer, rule):
    trainer = Trainer(network, dataset, dataclasses.replace(ALL, optimizer=optimizer))
    epoch, state = trainer.data.epoch(keys.order, 0), trainer.begin([RunSpec(start, mask, keys, mask_update=rule)])
    sums, seen = trainer.zero_sums(1), 0
    for _ in range(5):  # ends in the middle of an update
        state, sums = trainer.run(state, sums, epoch, 1)
        if rule and int(state.step) in rule.steps(11):
            state = trainer.update_mask(state, rule, epoch)
    for path, leaf in paths.leaves((state.params, state.opt_state, state.average)).items():
        for name, kept in state.mask.items():
            if path.endswith(name) and leaf.shape == kept.shape:
                assert (np.asarray(leaf)[~np.asarray(kept)] == 0).all(), path
                seen += 1
    assert seen == 2 * (4 if optimizer == "sgd" else 5)  # weights, moments, sums of gradients, averages


@pytest.mark.parametrize("stop_at", [1, 7])
def test_stopped_and_continued_is_bit_equal(dataset, network, start, mask, keys, tmp_path, stop_at):
    trainer, interrupts = Trainer(network, dataset, dataclasses.replace(ALL, steps_per_dispatch=1)), Interrupts()
    undisturbed = train_one(trainer, start, mask, keys)
    where = {"folder": tmp_path / "run"}
    with pytest.raises(InterruptedRun):
        train_one(trainer, start, mask, keys, **where, interrupts=interrupts, progress=StopAt(interrupts, stop_at))
    again = train_one(trainer, start, mask, keys, **where)
    assert bits((again.last, again.best)) == bits((undisturbed.last, undisturbed.best))


LAYOUTS = {
    "vmap": Vmapped,
    "devices": lambda: OnePerDevice.of(jax.devices()[:2]),
    "mesh": lambda: Sharded.of(jax.devices()[:4], 2, ((".*kernel", 0),)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_side_by_side_is_one_after_the_other(dataset, network, start, mask, layout):
    trainer = Trainer(network, dataset, ALL)
    kept = [mask, {path: np.ones_like(one) for path, one in mask.items()}]
    keys = [Keys(jax.random.key(seed), jax.random.key(9)) for seed in range(2)]
    specs = [RunSpec(start, one, own) for one, own in zip(kept, keys, strict=True)][: 1 if layout == "mesh" else 2]
    for found, spec in zip(train_runs(trainer.on(LAYOUTS[layout]()), specs), specs, strict=True):
        alone = paths.leaves(train_runs(trainer, [spec])[0].last)
        for path, leaf in paths.leaves(found.last).items():
            np.testing.assert_allclose(np.float64(leaf), np.float64(alone[path]), atol=1e-6, err_msg=path)


def test_what_is_no_float_is_not_averaged(dataset, network, start, mask, keys):
    result = train_one(Trainer(network, dataset, ALL), start, mask, keys)
    assert int(result.last.model_state["seen"]) == 11
