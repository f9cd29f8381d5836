import dataclasses

import jax
import numpy as np
import pytest

from jaxticket.core import paths
from jaxticket.core.errors import ConfigError, MaskError, TrainingError
from jaxticket.data.options import AugmentOptions
from jaxticket.training.duration import Duration
from jaxticket.training.interrupts import InterruptedRun, Interrupts
from jaxticket.training.mask_updates import Admm
from jaxticket.training.options import TrainOptions
from jaxticket.training.progress import Quiet
from jaxticket.training.run_spec import RunSpec
from jaxticket.training.schedules import learning_rate_factor
from jaxticket.training.state import MetricSums, Weights
from jaxticket.training.trainer import Trainer
from tests.train_one import train_one

pytestmark = [pytest.mark.feature("training")]

OPTIONS = TrainOptions(epochs=4, batch_size=16, lr=0.05, weight_decay=1e-3)


def bits(tree):
    return {path: np.asarray(leaf).tobytes() for path, leaf in paths.leaves(tree).items()}


@pytest.fixture(scope="module")
def trainer(dataset, network):
    return Trainer(network, dataset, OPTIONS)


@pytest.fixture
def undisturbed(trainer, start, mask, keys):
    return train_one(trainer, start, mask, keys)


@pytest.mark.parametrize(
    ("optimizer", "nesterov"),
    [("sgd", False), ("sgd", True), ("adam", False), ("adamw", False), ("adadelta", False)],
)
def test_pruned_weights_and_moments_stay_zero(dataset, network, start, mask, keys, optimizer, nesterov):
    """Early-bird check 16, gradient mask."""
    options = dataclasses.replace(OPTIONS, optimizer=optimizer, nesterov=nesterov, weight_decay=0.01)
    trainer = Trainer(network, dataset, options)
    state, _ = trainer.run(
        trainer.begin([RunSpec(start, mask, keys)]), MetricSums.zero(), trainer.data.epoch(keys.order, 0), 50
    )
    assert int(state.step) == 50
    for path, kept in mask.items():
        trained = np.asarray(paths.leaves(state.params)[path])
        assert (trained[~kept] == 0).all()
        assert (trained[kept] != paths.leaves(start.params)[path][kept]).all()
    moments = [leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim == 2]
    assert len(moments) == (2 if optimizer == "sgd" else 4)
    for moment in moments:
        kept = next(kept for kept in mask.values() if kept.shape == moment.shape)
        assert (np.asarray(moment)[~kept] == 0).all()
        assert (np.asarray(moment)[kept] != 0).any()


def test_first_step_is_coupled_sgd_by_hand(dataset, network, start, mask, keys):
    options = TrainOptions(steps=1, batch_size=70, lr=0.5, momentum=0.0, weight_decay=0.1)
    trainer = Trainer(network, dataset, options)
    got = train_one(trainer, start, mask, keys).last.params["head"]["kernel"]

    images = (np.asarray(dataset.train.images, np.float64) / 255 - 0.3) / 0.2
    x = images.reshape(70, 16)
    params = {path: np.float64(leaf) for path, leaf in paths.leaves(start.params).items()}
    hidden = np.tanh(x @ (params["fc1/kernel"] * mask["fc1/kernel"]) + params["fc1/bias"])
    weights = params["head/kernel"] * mask["head/kernel"]
    logits = hidden @ weights + params["head/bias"]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    probabilities[np.arange(70), dataset.train.labels] -= 1
    gradient = hidden.T @ probabilities / 70 + 0.1 * weights
    np.testing.assert_allclose(got, (weights - 0.5 * gradient) * mask["head/kernel"], atol=2e-6)


def test_training_learns_and_the_history_is_whole(undisturbed):
    history = undisturbed.history
    assert [line["epoch"] for line in history] == [1, 2, 3, 4]
    assert [line["step"] for line in history] == [4, 8, 12, 16]
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert history[-1]["val_accuracy"] > 0.5
    assert undisturbed.best_epoch == 1 + int(np.argmax([line["val_accuracy"] for line in history]))


def test_evaluation_counts_every_example_once(trainer, dataset, start, network):
    scores = trainer.evaluate(Weights(*jax.tree.map(jax.numpy.asarray, tuple(start))), "test")
    images = (np.asarray(dataset.test.images, np.float32) / 255 - 0.3) / 0.2
    logits, _ = network(start.params, start.model_state, images, train=False)
    logits = np.asarray(logits, np.float64)
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(33), dataset.test.labels]
    assert scores.accuracy == np.mean(logits.argmax(1) == dataset.test.labels)
    np.testing.assert_allclose(scores.loss, losses.mean(), rtol=1e-5)


def test_one_compilation_serves_every_mask_and_length(dataset, network, start, mask, keys):
    trainer = Trainer(network, dataset, OPTIONS)
    full = {path: np.ones_like(kept) for path, kept in mask.items()}
    for each in (full, mask):
        train_one(trainer, start, each, keys)
    train_one(trainer, start, mask, keys, start_step=3, snapshot_step=5)
    assert trainer.compilations == {"train_step": 1, "evaluate": 1}


def test_empty_split_has_no_scores(dataset, network, start, mask, keys):
    without = dataclasses.replace(dataset, val=type(dataset.val)(dataset.val.images[:0], dataset.val.labels[:0]))
    trained = train_one(Trainer(network, without, OPTIONS), start, mask, keys)
    assert trained.history[-1]["val_accuracy"] is None
    assert bits(trained.best) == bits(trained.last)
    assert trained.best_epoch == 4


class StopAt(Quiet):
    """Asks for a stop once a step is reached."""

    def __init__(self, interrupts, step):
        self.interrupts, self.at = interrupts, step

    def advance(self, step, *, images_per_second):
        if step >= self.at:
            self.interrupts.requested = True


@pytest.mark.parametrize("stop_at", [1, 4, 6, 13])
def test_stopped_anywhere_and_continued_is_bit_equal(
    dataset, network, start, mask, keys, undisturbed, tmp_path, stop_at
):
    trainer = Trainer(network, dataset, dataclasses.replace(OPTIONS, steps_per_dispatch=2))
    interrupts = Interrupts()
    with pytest.raises(InterruptedRun):
        train_one(
            trainer,
            start,
            mask,
            keys,
            folder=tmp_path / "run",
            interrupts=interrupts,
            progress=StopAt(interrupts, stop_at),
        )
    again = train_one(trainer, start, mask, keys, folder=tmp_path / "run")
    assert bits(again.last) == bits(undisturbed.last)
    assert bits(again.best) == bits(undisturbed.best)
    assert again.best_epoch == undisturbed.best_epoch
    for one, other in zip(again.history, undisturbed.history, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_snapshot_is_the_run_that_ends_there(dataset, network, start, mask, keys):
    snapshots = {}
    train_one(
        Trainer(network, dataset, OPTIONS),
        start,
        mask,
        keys,
        snapshot_step=6,
        store=snapshots.__setitem__,
    )
    short = Trainer(network, dataset, dataclasses.replace(OPTIONS, epochs=0, steps=6))
    assert bits(snapshots["snapshot"]) == bits(train_one(short, start, mask, keys).last)


def test_remaining_schedule_continues_order_and_learning_rate(dataset, network, start, mask, keys):
    options = dataclasses.replace(OPTIONS, momentum=0.0, schedule="milestones", milestones=(2,))
    trainer, at = Trainer(network, dataset, options), {}
    whole = train_one(trainer, start, mask, keys, snapshot_step=6, store=at.__setitem__)
    # Without momentum nothing but the weights is carried over, so the second half repeats exactly.
    second = train_one(trainer, at["snapshot"], mask, keys, start_step=6)
    assert bits(second.last) == bits(whole.last)
    assert [line["epoch"] for line in second.history] == [2, 3, 4]


def test_milestone_acts_on_the_step_it_names(dataset, network, start, mask, keys):
    def run(**schedule):
        options, at = dataclasses.replace(OPTIONS, epochs=0, steps=9, **schedule), {}
        trainer = Trainer(network, dataset, options)
        run = train_one(trainer, start, mask, keys, snapshot_step=8, store=at.__setitem__)
        return bits(at["snapshot"]), bits(run.last)

    before, after = run()
    dropped_before, dropped_after = run(schedule="milestones", milestones=(2,))
    assert dropped_before == before
    assert dropped_after != after
    assert run(schedule="milestones", milestones=(8 / 9,)) == (dropped_before, dropped_after)


def test_loss_that_is_not_finite_stops(dataset, network, start, mask, keys):
    options = dataclasses.replace(OPTIONS, lr=1e38, momentum=0.0)
    with pytest.raises(TrainingError, match=r"not finite at step [1-9].*1e\+38.*kernel.*config\.train\.lr") as error:
        train_one(Trainer(network, dataset, options), start, mask, keys)
    assert "nan" not in str(error.value)


def test_mask_that_does_not_fit_is_refused(trainer, start, keys):
    with pytest.raises(MaskError, match="fc9/kernel"):
        trainer.begin([RunSpec(start, {"fc9/kernel": np.ones((2, 2), bool)}, keys)])


def test_duration_counts_whole_batches():
    assert Duration.of(OPTIONS, 70) == Duration(4, 16)
    cut = Duration.of(dataclasses.replace(OPTIONS, epochs=0, steps=9), 70)
    assert (cut.total_steps, cut.epochs) == (9, 3)
    with pytest.raises(ConfigError, match=r"config\.train\.batch_size=16: must be at most the 12"):
        Duration.of(OPTIONS, 12)


@pytest.mark.parametrize(
    ("changes", "augment", "rule"),
    [
        pytest.param({"label_smoothing": 0.2}, {}, None, id="smoothing"),
        pytest.param({"label_smoothing": 0.2, "smoothing_schedule": "linear"}, {}, None, id="smoothing that falls"),
        pytest.param({}, {}, Admm(2, 0.5, 0.5), id="penalty"),
        pytest.param({}, {"mixup": 0.5}, None, id="mixup"),
    ],
)
def test_loss_is_cross_entropy_whatever_is_trained_on(dataset, network, start, mask, keys, changes, augment, rule):
    """Of one step, which all make from the same weights, and of many, which the objective drives elsewhere."""
    one = TrainOptions(steps=1, batch_size=70, lr=0.05)
    many = dataclasses.replace(one, steps=6)
    plain = [train_one(Trainer(network, dataset, options), start, mask, keys) for options in (one, many)]
    objectives = [dataclasses.replace(options, **changes) for options in (one, many)]
    trainers = [Trainer(network, dataset, options, AugmentOptions(**augment)) for options in objectives]
    found = [train_one(trainer, start, mask, keys, mask_update=rule) for trainer in trainers]
    for fits, expected in zip(found, plain, strict=True):
        assert "train_objective" not in expected.history[0]
        assert fits.history[-1]["train_objective"] != fits.history[-1]["train_loss"] or rule
    if not augment:
        assert found[0].history[0]["train_loss"] == pytest.approx(plain[0].history[0]["train_loss"], rel=1e-6)
    assert bits(found[1].last) != bits(plain[1].last)
    assert found[1].history[-1]["train_objective"] != found[1].history[-1]["train_loss"]


def test_plateau_goes_by_what_is_trained_on(trainer):
    falling = [{"train_loss": 1.0, "train_objective": loss, "val_loss": None} for loss in (3.0, 2.0, 1.0)]
    options = dataclasses.replace(OPTIONS, schedule="plateau", plateau_patience=0)
    assert learning_rate_factor(options, falling) == 1
    assert learning_rate_factor(options, [{**line, "train_objective": 3.0} for line in falling]) < 1
