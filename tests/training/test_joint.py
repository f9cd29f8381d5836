"""Replicates with data sets of their own: each is trained as if it were alone."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxticket.core import paths
from jaxticket.core.errors import ConfigError
from jaxticket.data.options import AugmentOptions
from jaxticket.data.splits import Split
from jaxticket.parallel import OnePerDevice, Vmapped
from jaxticket.training.loop import train_runs
from jaxticket.training.options import TrainOptions
from jaxticket.training.run_spec import RunSpec
from jaxticket.training.state import Keys
from jaxticket.training.trainer import Trainer

pytestmark = [pytest.mark.feature("seeds and devices side by side")]

OPTIONS = TrainOptions(epochs=3, batch_size=16, lr=0.05, weight_decay=1e-3)
AUGMENT = AugmentOptions(crop_padding=1)


def without(dataset, train, test):
    """The data set with some images less at its ends."""

    def shorter(split, missing):
        return Split(split.images[: split.size - missing], split.labels[: split.size - missing])

    return dataclasses.replace(dataset, train=shorter(dataset.train, train), test=shorter(dataset.test, test))


@pytest.fixture(scope="module")
def datasets(dataset):
    """Two of different sizes whose epochs are equally long, one of them with a whole batch less to test on."""
    spare = dataset.train.size % OPTIONS.batch_size
    assert spare > 0
    reverse = dataclasses.replace(dataset, train=Split(dataset.train.images[::-1], dataset.train.labels[::-1]))
    return [dataset, without(reverse, spare, min(OPTIONS.batch_size + 1, dataset.test.size - 1))]


@pytest.fixture
def starts(start, mask):
    return [RunSpec(start, mask, Keys(jax.random.key(10 + s), jax.random.key(20)), label=f"net-{s}") for s in range(2)]


@pytest.mark.parametrize("way", ["vmap", "devices"])
def test_each_trains_as_on_its_data_alone(datasets, network, starts, way):
    layout = Vmapped() if way == "vmap" else OnePerDevice.of(jax.devices()[:2])
    joint = Trainer(network, datasets, OPTIONS, AUGMENT).on(layout)
    found = train_runs(joint, starts)
    scores = joint.evaluate_each(layout.stack([fit.last for fit in found]), "test")
    losses = []
    for dataset, start, fit, score in zip(datasets, starts, found, scores, strict=True):
        trainer = Trainer(network, dataset, OPTIONS, AUGMENT)
        (expected,) = train_runs(trainer, [start])
        losses.append(expected.history[-1]["train_loss"])
        for path, leaf in paths.leaves(expected.last).items():
            np.testing.assert_allclose(paths.leaves(fit.last)[path], leaf, atol=0 if way == "devices" else 1e-5)
        assert fit.history[-1]["train_accuracy"] == expected.history[-1]["train_accuracy"]
        alone = trainer.evaluate(expected.last, "test")
        assert score.accuracy == alone.accuracy
        assert score.loss == pytest.approx(alone.loss, rel=1e-5)
    assert losses[0] != losses[1]


@pytest.mark.parametrize("name", ["step", "steps"])
def test_devices_do_not_communicate(datasets, network, starts, name):
    """Partitions side by side: a program without collectives, each device with its own images."""
    layout = OnePerDevice.of(jax.devices()[:2])
    trainer = Trainer(network, datasets, OPTIONS, AUGMENT).on(layout)
    state = trainer.begin(starts)
    data = trainer.data.epoch(layout.stack([one.keys.order for one in starts]), 0)
    assert {leaf.sharding.spec for leaf in jax.tree.leaves((state, data))} == {jax.P("replicate")}
    arguments = (state, trainer.zero_sums(2), data, *((jax.numpy.int32(5),) if name == "steps" else ()))
    text = getattr(trainer.compiled, name)(None).lower(*arguments).compile().as_text()
    assert "num_partitions=2" in text
    assert not [word for word in ("all-", "collective", "reduce-scatter") if word in text]


def test_epochs_must_be_equally_long(dataset, network):
    with pytest.raises(ConfigError, match=r"config.train.batch_size=16: data sets have \[\d+, \d+\] steps in an epoch"):
        Trainer(network, [dataset, without(dataset, OPTIONS.batch_size, 0)], OPTIONS)
