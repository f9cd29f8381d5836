"""What is counted over a split, beside NumPy, for networks alone and side by side, with padding and with streams."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.data import Dataset, Split
from jaxticket.parallel import SINGLE, OnePerDevice, Sharded, Vmapped
from jaxticket.training.options import TrainOptions
from jaxticket.training.scores import Measures
from jaxticket.training.state import Weights
from jaxticket.training.trainer import Trainer

pytestmark = [pytest.mark.feature("training"), pytest.mark.smoke]

CLASSES, BATCH = 7, 8
LAYOUTS = {
    "vmap": (2, Vmapped),
    "devices": (2, lambda: OnePerDevice.of(jax.devices()[:2])),
    "mesh": (1, lambda: Sharded.of(jax.devices()[:4])),
    "alone": (1, lambda: SINGLE),
}


def linear(params, model_state, images, *, train):
    return images.reshape(len(images), -1) @ params["head"]["kernel"], model_state


def split(count, seed, classes):
    rng = np.random.default_rng(seed)
    return Split(rng.integers(0, 255, (count, 2, 2, 1)).astype(np.uint8), rng.choice(classes, count).astype(np.int32))


@pytest.fixture(scope="module")
def imbalanced():
    """Seven classes, of which the test split has five: mostly one, and a number of images that fills no batches."""
    test = split(29, 1, [0] * 20 + [1, 2, 4, 6])
    return Dataset("seven", split(16, 0, CLASSES), split(0, 0, 1), test, CLASSES, tuple("abcdefg"), (0.5,), (0.3,))


def weights(seed, classes=CLASSES):
    rng = np.random.default_rng(seed)
    return Weights({"head": {"kernel": rng.normal(0, 2, (4, classes)).astype(np.float32)}}, {})


def by_numpy(dataset, params):
    """(loss, accuracy, top-5, balanced) by sorting, class by class."""
    images = (np.asarray(dataset.test.images, np.float64) / 255 - 0.5) / 0.3
    logits, labels = images.reshape(len(images), -1) @ np.float64(params["head"]["kernel"]), dataset.test.labels
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]
    largest = np.argsort(-logits, axis=1)
    recalls = [np.mean(largest[labels == label, 0] == label) for label in sorted(set(labels))]
    return (
        losses.mean(),
        np.mean(largest[:, 0] == labels),
        np.mean([label in row[:5] for label, row in zip(labels, largest, strict=True)]),
        np.mean(recalls),
    )


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_scores_are_those_of_numpy(imbalanced, name):
    count, make = LAYOUTS[name]
    layout = make()
    trainer = Trainer(linear, imbalanced, TrainOptions(epochs=1, batch_size=BATCH)).on(layout)
    networks = [weights(seed) for seed in range(count)]
    found = trainer.evaluate_each(layout.stack(networks), "test")
    assert trainer.compilations["evaluate"] == 1
    for scores, network in zip(found, networks, strict=True):
        loss, accuracy, top5, balanced = by_numpy(imbalanced, network.params)
        assert scores.loss == pytest.approx(loss, rel=1e-5)
        assert scores.accuracy == accuracy
        assert scores.accuracy_top5 == top5
        assert scores.accuracy_balanced == pytest.approx(balanced, rel=1e-12)
        assert len({round(accuracy, 6), round(top5, 6), round(balanced, 6)}) == 3


def test_five_of_five_classes_say_nothing(imbalanced):
    five = dataclasses.replace(imbalanced, num_classes=5, test=split(9, 3, 5))
    scores = Trainer(linear, five, TrainOptions(epochs=1, batch_size=BATCH)).evaluate(weights(0, 5), "test")
    assert scores.accuracy_top5 is None
    assert 0 <= scores.accuracy_balanced <= 1


def test_equal_logits_and_nans_are_no_answers():
    """A network that says the same of all classes is right about the first five only; one of NaN about nothing."""
    labels, ones = jnp.arange(CLASSES, dtype=jnp.int32), jnp.ones(CLASSES)
    measures = Measures.of(TrainOptions(), "classes")

    def scores(logits):
        return measures.scores(jax.device_get(measures.count(logits, labels, ones)))

    same, nan = scores(jnp.zeros((CLASSES, CLASSES))), scores(jnp.full((CLASSES, CLASSES), jnp.nan))
    assert (same.accuracy, same.accuracy_top5) == (1 / 7, 5 / 7)
    assert nan.accuracy_top5 == 0
