"""Aids of training: there until their last step, gone without a trace after it, through every kind of interruption."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.core import paths
from jaxticket.parallel import SINGLE, OnePerDevice, Vmapped
from jaxticket.training.aids import Aid
from jaxticket.training.interrupts import InterruptedRun, Interrupts
from jaxticket.training.loop import train_runs
from jaxticket.training.mask_updates import Regrowth
from jaxticket.training.options import TrainOptions
from jaxticket.training.progress import Quiet
from jaxticket.training.run_spec import RunSpec
from jaxticket.training.state import Keys, MetricSums, Weights
from jaxticket.training.trainer import Trainer
from tests.train_one import train_one

pytestmark = [pytest.mark.feature("aids of training")]

OPTIONS = TrainOptions(epochs=4, batch_size=16, lr=0.05, weight_decay=1e-3)  # 4 steps in an epoch
END = 6


class Shortcut(Aid):
    """A linear classifier beside the network, of fading strength, that counts its batches."""

    def __init__(self, network, steps):
        self._network, self._steps = network, steps

    @property
    def steps(self):
        return self._steps

    def begin(self, params, model_state, key):
        kernel = 0.1 * jax.random.normal(key, (16, 3))
        return {"kernel": kernel}, {"batches": jnp.zeros((), jnp.int32)}

    def apply(self, own, params, model_state, images, step, *, train):
        logits, model_state = self._network(params, model_state, images, train=train)
        strength = 1.0 if self._steps is None else jnp.maximum(1.0 - step.astype(jnp.float32) / self._steps, 0.0)
        logits += strength * (images.reshape(len(images), -1) @ own.params["kernel"])
        return logits, model_state, {"batches": own.model_state["batches"] + 1}


def bits(tree):
    return {path: np.asarray(leaf).tobytes() for path, leaf in paths.leaves(tree).items()}


@pytest.fixture(scope="module")
def trainer(dataset, network):
    options = dataclasses.replace(OPTIONS, steps_per_dispatch=2)
    return Trainer(network, dataset, options, aid=Shortcut(network, END))


@pytest.fixture(scope="module")
def plain(dataset, network):
    return Trainer(network, dataset, OPTIONS)


def test_aid_has_an_optimizer_of_its_own(trainer, plain, start, mask, keys):
    def after_a_step(trainer):
        state = trainer.begin([RunSpec(start, mask, keys)])
        begun = None if state.aid is None else np.asarray(state.aid.params["kernel"])
        return begun, trainer.run(state, MetricSums.zero(), trainer.data.epoch(keys.order, 0), 1)[0]

    begun, aided = after_a_step(trainer)
    _, alone = after_a_step(plain)
    assert alone.aid is None
    assert aided.aid.model_state == {"batches": 1}
    moved = np.asarray(aided.aid.params["kernel"]) - begun
    assert moved.any()
    np.testing.assert_allclose(moved, -OPTIONS.lr * np.asarray(aided.aid.opt_state[1].trace["kernel"]), atol=1e-6)
    assert jax.tree.structure(aided.opt_state) == jax.tree.structure(alone.opt_state)
    assert bits(aided.params) != bits(alone.params)
    for path, kept in mask.items():
        assert not np.asarray(paths.leaves(aided.params)[path])[~kept].any()


def watched(trainer, monkeypatch):
    """Step at which the trainer is called -> whether there is an aid."""
    aided, run = {}, trainer.run

    def seen(state, *others):
        aided[int(state.step)] = state.aid is not None
        return run(state, *others)

    monkeypatch.setattr(trainer, "run", seen)
    return aided


def test_it_is_gone_at_its_end(trainer, plain, start, mask, keys, monkeypatch):
    """ToST check 20: the state has no extra leaves, and what comes after is the step without an aid, bit for bit."""
    at, aided = {}, watched(trainer, monkeypatch)
    trained = train_one(trainer, start, mask, keys, snapshot_step=END, store=at.__setitem__)
    assert aided == {step: step < END for step in range(0, 16, 2)}
    assert paths.leaves(trained.last.params).keys() == paths.leaves(start.params).keys()
    after = train_one(trainer, at["snapshot"], mask, keys, start_step=END)  # with a fresh optimizer
    assert bits(after.last) == bits(train_one(plain, at["snapshot"], mask, keys, start_step=END).last)
    late = [RunSpec(at["snapshot"], mask, keys, start_step=END)]
    assert jax.tree.structure(trainer.begin(late)) == jax.tree.structure(plain.begin(late))


def test_no_weights_count_as_best_before_its_end(dataset, network, start, mask, keys):
    """With a network that hardly moves the first epoch would be the best."""
    options = dataclasses.replace(OPTIONS, lr=1e-7)
    assert train_one(Trainer(network, dataset, options), start, mask, keys).best_epoch == 1
    assert train_one(Trainer(network, dataset, options, aid=Shortcut(network, 10)), start, mask, keys).best_epoch == 3


class StopAt(Quiet):
    def __init__(self, interrupts, at):
        self.interrupts, self.at = interrupts, at

    def advance(self, step, *, images_per_second):
        if step >= self.at:
            self.interrupts.requested = True


def stopped_and_continued(trainer, starts, layout, folder, at):
    interrupts = Interrupts()
    with pytest.raises(InterruptedRun):
        train_runs(trainer.on(layout), starts, folder=folder, interrupts=interrupts, progress=StopAt(interrupts, at))
    return train_runs(trainer.on(layout), starts, folder=folder)


@pytest.mark.parametrize("at", [2, END, END + 4], ids=["before", "at", "after"])
def test_run_continued_around_end_is_bit_equal(trainer, start, mask, keys, at, tmp_path):
    starts = [RunSpec(start, mask, keys)]
    (again,) = stopped_and_continued(trainer, starts, SINGLE, tmp_path / "run", at)
    whole = train_one(trainer, start, mask, keys)
    assert bits((again.last, again.best)) == bits((whole.last, whole.best))
    assert [line["val_accuracy"] for line in again.history] == [line["val_accuracy"] for line in whole.history]


@pytest.fixture
def starts(start, mask):
    return [
        RunSpec(
            jax.tree.map(lambda leaf, s=s: leaf * leaf.dtype.type(1 + s), start),
            mask,
            Keys(jax.random.key(10 + s), jax.random.key(20 + s)),
        )
        for s in range(2)
    ]


@pytest.mark.parametrize("layout", [Vmapped(), OnePerDevice.of(jax.devices()[:2])], ids=["vmap", "devices"])
def test_side_by_side_is_one_after_the_other(trainer, starts, layout, tmp_path):
    together = stopped_and_continued(trainer, starts, layout, tmp_path / "pair", 2)
    for one, found in zip(starts, together, strict=True):
        (alone,) = train_runs(trainer, [one])
        assert found.best_epoch == alone.best_epoch
        for path, leaf in paths.leaves((alone.last, alone.best)).items():
            np.testing.assert_allclose(np.float64(paths.leaves((found.last, found.best))[path]), leaf, atol=1e-5)


def test_mask_may_change_under_aid_and_after_it(dataset, network, start, mask, keys, monkeypatch):
    trainer = Trainer(network, dataset, OPTIONS, aid=Shortcut(network, END))
    aided = watched(trainer, monkeypatch)
    trained = train_one(trainer, start, mask, keys, mask_update=Regrowth("gradient", 5, 12))
    assert aided == {0: True, 4: True, 5: True, 6: False, 8: False, 10: False, 12: False}
    assert {path: int(np.sum(kept)) for path, kept in trained.mask.items()} == {
        path: int(kept.sum()) for path, kept in mask.items()
    }
    for path, kept in trained.mask.items():
        assert not np.asarray(paths.leaves(trained.last.params)[path])[~np.asarray(kept)].any()


def test_aid_that_stays_is_part_of_weights(dataset, network, plain, start, mask, keys):
    trainer = Trainer(network, dataset, OPTIONS, aid=Shortcut(network, None))
    trained = train_one(trainer, start, mask, keys)
    own = trained.last.params["ghost"]["kernel"]
    assert trained.last.model_state["ghost"]["batches"] == 16
    without = Weights({n: p for n, p in trained.last.params.items() if n != "ghost"}, {"seen": np.int32(0)})
    assert trainer.evaluate(trained.last, "test") != plain.evaluate(without, "test")
    assert trained.history[-1]["val_loss"] == trainer.evaluate(trained.last, "val").loss
    # Weights go on with the aid they carry, and lose it where none stays.
    spec = RunSpec(trained.last, mask, keys)
    state = trainer.begin([spec])
    assert np.array_equal(state.aid.params["kernel"], own)
    assert "ghost" not in plain.begin([spec]).params
