"""What is watched, saved and decided on the way through a run, and runs that end before their time."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket import training
from jaxticket.core import paths
from jaxticket.parallel.layouts import Vmapped
from jaxticket.training.checkpointing import epoch_saves
from jaxticket.training.interrupts import InterruptedRun, Interrupts
from jaxticket.training.loop import train_runs
from jaxticket.training.monitors import Monitor
from jaxticket.training.options import TrainOptions
from jaxticket.training.progress import Quiet
from jaxticket.training.run_spec import RunSpec
from jaxticket.training.trainer import Trainer
from tests.train_one import train_one

pytestmark = [pytest.mark.feature("training")]

OPTIONS = TrainOptions(epochs=6, batch_size=16, lr=0.05, weight_decay=1e-3)


def bits(tree):
    return {path: np.asarray(leaf).tobytes() for path, leaf in paths.leaves(tree).items()}


@dataclasses.dataclass(frozen=True)
class Norms(Monitor):
    """Records the norm of the head's kernel; ends the training at the look that `until` counts."""

    every: int = 3
    until: int = 0

    @property
    def may_stop(self):
        return bool(self.until)

    def steps(self, steps_per_epoch, total_steps):
        return range(self.every, total_steps + 1, self.every)

    def init_state(self, params, mask, measurements):
        return {"norms": jnp.zeros(measurements, jnp.float32)}

    def update(self, state: Any, params, mask, number):
        return {"norms": state["norms"].at[number].set(jnp.linalg.norm(params["head"]["kernel"]))}

    def stop(self, state, measurements):
        return measurements == self.until

    def keep(self, state, measurements):
        return (f"look{measurements}",) if measurements in (1, 3) else ()

    def result(self, state, measurements):
        return {"norms": np.asarray(state["norms"][:measurements])}, {"measurements": measurements}


class StopAt(Quiet):
    def __init__(self, interrupts, step):
        self.interrupts, self.at = interrupts, step

    def advance(self, step, *, images_per_second):
        if step == self.at:
            self.interrupts.requested = True


@pytest.fixture(scope="module")
def trainer(dataset, network):
    return Trainer(network, dataset, OPTIONS)


@pytest.fixture(scope="module")
def impatient(dataset, network):
    return Trainer(network, dataset, dataclasses.replace(OPTIONS, patience=1, lr=1.5, epochs=40))


def weights_at(step, trainer, *run):
    """The weights of a run after a step."""
    stored = {}
    train_one(trainer, *run, snapshot_step=step, store=stored.__setitem__)
    return stored["snapshot"]


def test_a_monitor_sees_the_weights_of_its_steps(trainer, start, mask, keys):
    seen = {step: weights_at(step, trainer, start, mask, keys) for step in (3, 9, 24)}
    watched = train_one(
        trainer,
        start,
        mask,
        keys,
        monitor=Norms(),
    )
    record = watched.monitor_state
    assert watched.measurements == 8
    for number, step in ((0, 3), (2, 9), (7, 24)):
        np.testing.assert_allclose(
            record["norms"][number], np.linalg.norm(seen[step].params["head"]["kernel"]), rtol=1e-6
        )
    assert bits(watched.last) == bits(train_one(trainer, start, mask, keys).last)


def test_a_monitor_has_weights_kept_when_it_wants(trainer, start, mask, keys):
    kept, seen = {}, [weights_at(step, trainer, start, mask, keys) for step in (3, 9)]
    train_one(trainer, start, mask, keys, monitor=Norms(), store=kept.__setitem__)
    assert [*kept] == ["kept_look1", "kept_look3"]
    assert [bits(weights) for weights in kept.values()] == [bits(weights) for weights in seen]


def test_a_monitor_survives_an_interruption(trainer, start, mask, keys, tmp_path):
    whole = train_one(trainer, start, mask, keys, monitor=Norms())
    interrupts = Interrupts()
    with pytest.raises(InterruptedRun):
        train_one(trainer, start, mask, keys, monitor=Norms(), folder=tmp_path, interrupts=interrupts,
            progress=StopAt(interrupts, 6))  # fmt: skip
    again = train_one(trainer, start, mask, keys, monitor=Norms(), folder=tmp_path)
    np.testing.assert_array_equal(again.monitor_state["norms"], whole.monitor_state["norms"])
    assert bits(again.last) == bits(whole.last)


def test_a_monitor_ends_run_in_middle_of_epoch(trainer, start, mask, keys):
    ended = train_one(trainer, start, mask, keys, monitor=Norms(until=2))
    assert bits(ended.last) == bits(weights_at(6, trainer, start, mask, keys))
    assert [line["step"] for line in ended.history] == [4, 6]
    assert ended.history[-1]["val_accuracy"] is not None
    assert ended.measurements == 2


def test_run_that_begins_late_looks_from_there_on(trainer, start, mask, keys):
    late = train_one(trainer, start, mask, keys, start_step=13, monitor=Norms())
    assert late.measurements == len(late.monitor_state["norms"]) == 4
    assert (np.asarray(late.monitor_state["norms"]) > 0).all()


def test_seeds_side_by_side_have_a_record_each(trainer, start, mask, keys):
    other = keys._replace(order=jax.random.key(99))
    starts = [RunSpec(start, mask, one, monitor=Norms()) for one in (keys, other)]
    fits = train_runs(trainer.on(Vmapped()), starts)
    for one, its_keys in zip(fits, (keys, other), strict=True):
        alone = train_one(trainer, start, mask, its_keys, monitor=Norms())
        np.testing.assert_allclose(one.monitor_state["norms"], alone.monitor_state["norms"], rtol=1e-5)
    with pytest.raises(ValueError, match="trained alone"):
        train_runs(trainer.on(Vmapped()), [dataclasses.replace(one, monitor=Norms(until=1)) for one in starts])


def test_patience_ends_a_run_after_its_evaluations(impatient, start, mask, keys):
    ended = train_one(impatient, start, mask, keys)
    losses = [line["val_loss"] for line in ended.history]
    assert 1 < len(losses) < 40
    assert losses[-1] >= min(losses[:-1])
    assert all(later < min(losses[:k]) for k, later in enumerate(losses[:-1]) if k)


def test_patience_is_the_same_after_an_interruption(impatient, start, mask, keys, tmp_path):
    whole = train_one(impatient, start, mask, keys)
    interrupts = Interrupts()
    with pytest.raises(InterruptedRun):
        train_one(impatient, start, mask, keys, folder=tmp_path, interrupts=interrupts, progress=StopAt(interrupts, 4))
    again = train_one(impatient, start, mask, keys, folder=tmp_path)
    assert bits(again.last) == bits(whole.last)
    assert len(again.history) == len(whole.history)


def test_early_stopping_counts_losses_that_are_not_lower():
    stopping = training.EarlyStopping(2)
    assert [stopping.update(loss) for loss in (1.0, 0.9, 0.9, 0.8, 0.8, float("nan"))] == [False] * 5 + [True]
    never = training.EarlyStopping(0)
    assert not any(never.update(1.0) for _ in range(100))
    with pytest.raises(ValueError, match="at least 0"):
        training.EarlyStopping(-1)


def test_saves_hold_the_epochs_that_their_names_say(trainer, start, mask, keys):
    given = {}
    trained = train_one(trainer, start, mask, keys, save_epochs=(2, 5), store=given.__setitem__)
    saves = epoch_saves([line["val_accuracy"] for line in trained.history], (2, 5))
    assert sorted(given) == ["best2", "best5", "exact2", "exact5"]
    for name, weights in given.items():
        assert bits(weights) == bits(weights_at(4 * saves[name], trainer, start, mask, keys))


def test_plateau_lowers_the_rate_by_what_losses_say(dataset, network, start, mask, keys, tmp_path):
    options = dataclasses.replace(OPTIONS, schedule="plateau", plateau_patience=0, lr=1.5, epochs=12, min_lr=0.01)
    trainer = Trainer(network, dataset, options)
    interrupts = Interrupts()
    with pytest.raises(InterruptedRun):
        train_one(trainer, start, mask, keys, folder=tmp_path, interrupts=interrupts, progress=StopAt(interrupts, 28))
    trained = train_one(trainer, start, mask, keys, folder=tmp_path)
    rates, losses = ([line[name] for line in trained.history] for name in ("learning_rate", "val_loss"))
    assert rates[0] == 1.5
    assert rates[-1] < 1.5
    for epoch in range(1, 12):
        fell = losses[epoch - 1] < min(losses[: epoch - 1], default=np.inf) * (1 - 1e-4)
        assert rates[epoch] == pytest.approx(rates[epoch - 1] if fell else max(rates[epoch - 1] * 0.1, 0.01))
    # The rate is not only reported: the weights move less.
    assert bits(trained.last) != bits(train_one(Trainer(network, dataset, dataclasses.replace(
        options, schedule="constant", min_lr=0.0, plateau_patience=10)), start, mask, keys).last)  # fmt: skip
