"""Networks in lockstep: each is trained as if it were alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.core import paths
from jaxticket.core.errors import TrainingError
from jaxticket.data.options import AugmentOptions
from jaxticket.parallel import OnePerDevice, Vmapped
from jaxticket.training.interrupts import InterruptedRun, Interrupts
from jaxticket.training.loop import train_runs
from jaxticket.training.mask_updates import Admm, Regrowth
from jaxticket.training.options import TrainOptions
from jaxticket.training.progress import Quiet
from jaxticket.training.run_spec import RunSpec
from jaxticket.training.state import Keys
from jaxticket.training.trainer import Trainer

pytestmark = [pytest.mark.feature("seeds and devices side by side")]

COUNT = 3
OPTIONS = TrainOptions(epochs=4, batch_size=16, lr=0.05, weight_decay=1e-3)
LAYOUTS = {"vmap": Vmapped, "devices": lambda: OnePerDevice.of(jax.devices()[:COUNT])}


@pytest.fixture(params=list(LAYOUTS))
def layout(request):
    return LAYOUTS[request.param]()


@pytest.fixture(scope="module")
def trainer(dataset, network):
    return Trainer(network, dataset, OPTIONS, AugmentOptions(crop_padding=1))


@pytest.fixture
def starts(start, mask):
    """Three networks that differ in weights, mask and keys."""
    rng = np.random.default_rng(7)
    return [
        RunSpec(
            jax.tree.map(lambda leaf, s=s: leaf * leaf.dtype.type(1 + s), start),
            {path: kept & (rng.random(kept.shape) < 1 - 0.2 * s) for path, kept in mask.items()},
            Keys(jax.random.key(10 + s), jax.random.key(20 + s)),
            label=f"net-{s}",
        )
        for s in range(COUNT)
    ]


def bits(fits):
    return [
        {path: np.asarray(leaf).tobytes() for path, leaf in paths.leaves((fit.last, fit.best, fit.mask)).items()}
        for fit in fits
    ]


def histories(fits):
    return [[{**line, "seconds": 0} for line in fit.history] for fit in fits]


def assert_close(fits, others):
    for fit, other in zip(fits, others, strict=True):
        assert fit.best_epoch == other.best_epoch
        for name in ("last", "best", "mask"):
            found, expected = paths.leaves(getattr(fit, name)), paths.leaves(getattr(other, name))
            assert found.keys() == expected.keys()
            for path, leaf in found.items():
                np.testing.assert_allclose(np.float64(leaf), np.float64(expected[path]), atol=1e-5, err_msg=path)
        for line, same in zip(fit.history, other.history, strict=True):
            assert line["step"] == same["step"]
            assert line["val_accuracy"] == same["val_accuracy"]
            assert line["train_loss"] == pytest.approx(same["train_loss"], rel=1e-5)


def changed(specs, **parts):
    return [dataclasses.replace(spec, **parts) for spec in specs]


def serially(trainer, specs):
    return [train_runs(trainer, [spec])[0] for spec in specs]


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(None, id="plain"),
        pytest.param(Regrowth("gradient", 5, 12), id="rigl"),
        pytest.param(Admm(6, 0.05, 0.5), id="admm", marks=pytest.mark.deep),
    ],
)
def test_side_by_side_is_one_after_the_other(trainer, starts, layout, rule):
    starts = changed(starts, mask_update=rule)
    together = train_runs(trainer.on(layout), starts)
    assert_close(together, serially(trainer, starts))
    final = [np.asarray(fit.last.params["fc1"]["kernel"]) for fit in together]
    assert len({array.tobytes() for array in final}) == COUNT
    for fit in together:
        for path, kept in fit.mask.items():
            assert (np.asarray(paths.leaves(fit.last.params)[path])[~np.asarray(kept)] == 0).all()


def test_one_per_device_is_the_program_of_one(trainer, starts):
    layout = OnePerDevice.of(jax.devices()[:COUNT])
    assert bits(train_runs(trainer.on(layout), starts)) == bits(serially(trainer, starts))


@pytest.mark.parametrize("name", ["step", "steps"])
def test_devices_do_not_communicate(dataset, network, starts, name):
    layout = OnePerDevice.of(jax.devices()[:COUNT])
    trainer = Trainer(network, dataset, OPTIONS).on(layout)
    state = trainer.begin(starts)
    data = trainer.data.epoch(layout.stack([one.keys.order for one in starts]), 0)
    assert {leaf.sharding.spec for leaf in jax.tree.leaves(state)} == {jax.P("replicate")}
    arguments = (state, trainer.zero_sums(COUNT), data, *((jnp.int32(5),) if name == "steps" else ()))
    text = getattr(trainer.compiled, name)(None).lower(*arguments).compile().as_text()
    assert "num_partitions=3" in text
    assert not [word for word in ("all-", "collective", "reduce-scatter") if word in text]


def test_snapshots_and_the_remaining_schedule_belong_to_each(trainer, starts, layout):
    taken: dict = {}

    def recording(kind):
        def one(index, start):
            def store(name, weights):
                taken[kind, index, name] = np.asarray(weights.params["fc1"]["bias"])

            return dataclasses.replace(start, store=store, start_step=3, snapshot_step=6)

        return [one(index, start) for index, start in enumerate(starts)]

    assert_close(train_runs(trainer.on(layout), recording("together")), serially(trainer, recording("alone")))
    for index in range(COUNT):
        np.testing.assert_allclose(taken["together", index, "snapshot"], taken["alone", index, "snapshot"], atol=1e-6)


def test_compiled_once_for_all_masks_and_lengths(dataset, network, starts, layout):
    trainer = Trainer(network, dataset, OPTIONS)
    train_runs(trainer.on(layout), starts)
    train_runs(trainer.on(layout), changed(starts[::-1], start_step=3))
    assert trainer.compilations == {"train_step": 1, "evaluate": 1}


class StopAt(Quiet):
    """Asks for a stop once a step is reached."""

    def __init__(self, interrupts, step):
        self.interrupts, self.at = interrupts, step

    def advance(self, step, *, images_per_second):
        if step >= self.at:
            self.interrupts.requested = True


def test_stopped_and_continued_is_bit_equal_for_all(dataset, network, trainer, starts, layout, tmp_path):
    undisturbed = train_runs(trainer.on(layout), starts)
    small_steps = Trainer(
        network, dataset, dataclasses.replace(OPTIONS, steps_per_dispatch=2), AugmentOptions(crop_padding=1)
    )
    interrupts, folder = Interrupts(), tmp_path / "group"
    with pytest.raises(InterruptedRun):
        train_runs(small_steps.on(layout), starts, folder=folder, interrupts=interrupts, progress=StopAt(interrupts, 6))
    again = train_runs(small_steps.on(layout), starts, folder=folder)
    assert bits(again) == bits(undisturbed)
    assert histories(again) == histories(undisturbed)
    assert len({fit.seconds for fit in again}) == 1


def test_the_network_that_diverges_is_named(dataset, network, starts, layout):
    trainer = Trainer(network, dataset, dataclasses.replace(OPTIONS, weight_decay=0.0))
    spoiled = jax.tree.map(lambda leaf: leaf * leaf.dtype.type(100), starts[1].weights)
    spoiled.params["head"]["bias"][0] = np.inf
    starts[1] = dataclasses.replace(starts[1], weights=spoiled)
    with pytest.raises(TrainingError, match=r"^net-1: the loss is not finite at step 0 .*head/bias inf"):
        train_runs(trainer.on(layout), starts)


def test_progress_of_several_is_their_mean(trainer, starts):
    told = []

    class Told(Quiet):
        def start(self, label, *, steps, done, networks):
            told.append(label)

        def epoch(self, record):
            told.append(record)

    fits = train_runs(trainer.on(Vmapped()), starts, progress=Told())
    assert told[0] == "net-0 to net-2"
    assert [record["epoch"] for record in told[1:]] == [1, 2, 3, 4]
    assert told[4]["train_loss"] == pytest.approx(np.mean([fit.history[3]["train_loss"] for fit in fits]))
