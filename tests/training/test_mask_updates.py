"""Rules that act on masks while a network trains."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.core import masks, paths
from jaxticket.core.errors import ConfigError
from jaxticket.core.schedules import cubic
from jaxticket.training.batches import Batch
from jaxticket.training.interrupts import InterruptedRun, Interrupts
from jaxticket.training.mask_updates import Admm, GradualPruning, MaskUpdate, Regrowth
from jaxticket.training.options import TrainOptions
from jaxticket.training.progress import Quiet
from jaxticket.training.run_spec import RunSpec
from jaxticket.training.state import MetricSums
from jaxticket.training.trainer import Trainer
from tests.train_one import train_one

pytestmark = [pytest.mark.feature("training")]

# 4 steps per epoch, 20 in all.
OPTIONS = TrainOptions(epochs=5, batch_size=16, lr=0.05, momentum=0.9, weight_decay=1e-3)
GMP = GradualPruning(start=2, end=14, every=3, final=0.8)
RULES = [GMP, Regrowth("random", 3, 15), Regrowth("gradient", 3, 15), Admm(4, 0.01, 0.8)]
rules = pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{type(rule).__name__}-{getattr(rule, 'grow', '')}")


@dataclasses.dataclass(frozen=True)
class Watched(MaskUpdate):
    """Another rule, and a list of the masks that it made."""

    rule: MaskUpdate
    seen: list = dataclasses.field(default_factory=list, compare=False)

    @property
    def needs_gradients(self):
        return self.rule.needs_gradients

    def steps(self, total_steps):
        return self.rule.steps(total_steps)

    def update(self, step, params, mask, state, gradients, key):
        new, state = self.rule.update(step, params, mask, state, gradients, key)
        self.seen.append((step, jax.device_get(mask), jax.device_get(new)))
        return new, state


@pytest.fixture(scope="module")
def trainer(dataset, network):
    return Trainer(network, dataset, OPTIONS)


@pytest.fixture
def full(start):
    return {path: np.ones_like(leaf, bool) for path, leaf in paths.leaves(start.params).items() if leaf.ndim == 2}


def moments(state):
    return [leaf for leaf in jax.tree.leaves(state.opt_state) if leaf.ndim == 2]


def test_gradual_pruning_follows_cubic_exactly_at_every_update(trainer, start, full, keys):
    watched = Watched(GMP)
    result = train_one(trainer, start, full, keys, mask_update=watched)
    total = masks.count(full)[1]
    schedule = cubic(2, 14, 0.0, 0.8, 3)
    assert [step for step, _, _ in watched.seen] == [2, 5, 8, 11, 14]
    for step, before, after in watched.seen:
        assert masks.count(after)[0] == total - round(float(schedule(step)) * total)
        assert all((after[path] <= before[path]).all() for path in after)
    assert masks.count(result.mask)[0] == total - round(0.8 * total)
    for path, kept in result.mask.items():
        assert not np.asarray(paths.leaves(result.last.params)[path])[~np.asarray(kept)].any()


@pytest.mark.parametrize("grow", ["random", "gradient"])
def test_regrowth_keeps_number_of_weights_of_every_layer(trainer, start, mask, keys, grow):
    watched = Watched(Regrowth(grow, 3, 15))
    result = train_one(trainer, start, mask, keys, mask_update=watched)
    assert [step for step, _, _ in watched.seen] == [3, 6, 9, 12]
    changed = []
    for _, before, after in watched.seen:
        for path in after:
            assert after[path].sum() == before[path].sum()
        changed.append(sum(int((after[path] != before[path]).sum()) for path in after))
    assert changed[0] > 0
    assert changed[-1] < changed[0]  # the share falls along a cosine
    assert not np.array_equal(result.mask["fc1/kernel"], mask["fc1/kernel"])


def test_rigl_grows_where_the_dense_gradient_is_largest(trainer, start, mask, keys):
    state, data = trainer.begin([RunSpec(start, mask, keys)]), trainer.data.epoch(keys.order, 0)
    gradient = np.abs(np.asarray(paths.leaves(trainer.compiled.gradients(state, data))["fc1/kernel"]))
    assert gradient[~mask["fc1/kernel"]].any()
    state, _ = trainer.run(state, MetricSums.zero(), data, 3)
    gradient = np.abs(np.asarray(paths.leaves(trainer.compiled.gradients(state, data))["fc1/kernel"]))
    before, weights = mask["fc1/kernel"], np.abs(np.asarray(state.params["fc1"]["kernel"]))
    after = np.asarray(trainer.update_mask(state, Regrowth("gradient", 3, 15), data).mask["fc1/kernel"])
    grown, never = after & ~before, ~after & ~before
    assert grown.any()
    assert gradient[grown].min() >= gradient[never].max()
    dropped, stayed = before & ~after, before & after
    assert weights[dropped].max() <= np.sort(weights[stayed])[-1]


@rules
def test_what_comes_back_starts_from_zero(trainer, start, mask, keys, rule):
    state = trainer.begin([RunSpec(start, mask, keys, mask_update=rule)])
    data = trainer.data.epoch(keys.order, 0)
    state, _ = trainer.run(state, MetricSums.zero(), data, 3, rule)
    before = jax.device_get(state.mask)
    state = trainer.update_mask(state, rule, data)
    for path, kept in jax.device_get(state.mask).items():
        leaf = np.asarray(paths.leaves(state.params)[path])
        assert not leaf[~kept].any()
        assert not leaf[kept & ~before[path]].any()
        for moment in moments(state):
            if moment.shape == kept.shape:
                assert not np.asarray(moment)[~kept].any()
    later, _ = trainer.run(state, MetricSums.zero(), data, 2, rule)
    for path, kept in jax.device_get(later.mask).items():
        leaf = np.asarray(paths.leaves(later.params)[path])
        assert not leaf[~kept].any()
        # All but those that lead to units from which nothing leads on.
        came = leaf[kept & ~before[path]]
        assert not came.size or (came != 0).mean() > 0.5


@rules
@pytest.mark.parametrize("stop_at", [3, 10])
def test_stopped_and_continued_is_bit_equal(trainer, start, mask, keys, tmp_path, rule, stop_at):
    undisturbed = train_one(trainer, start, mask, keys, mask_update=rule)
    interrupts = Interrupts()

    class StopAt(Quiet):
        def advance(self, step, **rest):
            interrupts.requested = interrupts.requested or step >= stop_at

    with pytest.raises(InterruptedRun):
        train_one(
            trainer,
            start,
            mask,
            keys,
            mask_update=rule,
            folder=tmp_path / "run",
            interrupts=interrupts,
            progress=StopAt(),
        )
    continued = train_one(trainer, start, mask, keys, mask_update=rule, folder=tmp_path / "run")
    for found, expected in zip(
        jax.tree.leaves((continued.last, continued.mask)),
        jax.tree.leaves((undisturbed.last, undisturbed.mask)),
        strict=True,
    ):
        assert np.array_equal(found, expected)


def test_best_weights_wait_for_a_settled_mask(trainer, start, full, keys):
    result = train_one(trainer, start, full, keys, mask_update=GMP)
    assert result.best_epoch >= 4
    for path, kept in result.mask.items():
        assert not np.asarray(paths.leaves(result.best.params)[path])[~np.asarray(kept)].any()


def test_rules_without_a_penalty_share_the_compiled_step(dataset, network, start, mask, keys):
    trainer = Trainer(network, dataset, dataclasses.replace(OPTIONS, epochs=1))
    for rule in (None, GMP, Regrowth("random", 3, 15)):
        train_one(trainer, start, mask, keys, mask_update=rule)
    assert trainer.compilations["train_step"] == 1
    train_one(trainer, start, mask, keys, mask_update=Admm(2, 0.01, 0.5))
    assert trainer.compilations["train_step"] == 2


def test_admm_draws_weights_that_will_go_towards_zero(trainer, start, full, keys):
    def small_share(rule):
        weights = train_one(trainer, start, full, keys, mask_update=rule).last.params["fc1"]["kernel"]
        magnitude = np.sort(np.abs(np.asarray(weights)).ravel())
        return magnitude[: int(0.8 * magnitude.size)].mean()

    assert small_share(Admm(4, 0.5, 0.8)) < 0.8 * small_share(None)


def test_gradients_of_streamed_data_are_refused(trainer, start, mask, keys):
    batch = Batch(jnp.zeros((16, 4, 4, 1), jnp.uint8), jnp.zeros(16, jnp.int32))
    with pytest.raises(ConfigError, match="needs data in memory"):
        trainer.update_mask(trainer.begin([RunSpec(start, mask, keys)]), Regrowth("gradient", 3, 15), iter([batch]))
