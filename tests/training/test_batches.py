"""From a split to the network's input: augmentation in the step, mixed targets, streams."""

import dataclasses
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.data import Dataset, Split
from jaxticket.data.options import AugmentOptions
from jaxticket.data.streaming import Stream
from jaxticket.parallel import SINGLE, Sharded
from jaxticket.training.batches import Batches, Targets
from jaxticket.training.device_data import pad_split
from jaxticket.training.interrupts import InterruptedRun, Interrupts
from jaxticket.training.loop import train_runs
from jaxticket.training.losses import cross_entropy, mixed_loss
from jaxticket.training.options import TrainOptions
from jaxticket.training.progress import Quiet
from jaxticket.training.run_spec import RunSpec
from jaxticket.training.state import Weights
from jaxticket.training.trainer import Trainer
from tests.train_one import train_one

pytestmark = [pytest.mark.feature("training")]

RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.integers(1, 256, (6, 8, 8, 2), dtype=np.uint8))
LABELS = jnp.arange(6, dtype=jnp.int32)
PLAIN = Batches(6, 1, (0.4, 0.6), (0.2, 0.3), "float32")
ALL = AugmentOptions(crop_padding=2, flip=True, rotation=10.0, cutout=3, mixup=0.5)


def test_without_augmentation_training_and_evaluation_see_the_same():
    images, targets = PLAIN.for_training(jax.random.key(0), IMAGES, LABELS)
    assert np.array_equal(images, PLAIN.for_evaluation(IMAGES))
    np.testing.assert_allclose(images, (np.asarray(IMAGES) / 255 - [0.4, 0.6]) / [0.2, 0.3], rtol=1e-5, atol=1e-6)
    assert targets == Targets(LABELS)


def test_one_change_does_not_depend_on_the_others():
    key = jax.random.key(3)
    cropped, flipped = (
        dataclasses.replace(PLAIN, augment=how).for_training(key, IMAGES, LABELS)[0]
        for how in (AugmentOptions(crop_padding=2), AugmentOptions(crop_padding=2, flip=True))
    )
    for one, other in zip(np.asarray(cropped), np.asarray(flipped), strict=True):
        assert np.array_equal(one, other) or np.array_equal(one, other[:, ::-1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_change_at_once_in_jit(dtype):
    batches = dataclasses.replace(PLAIN, augment=ALL, dtype=dtype)
    images, targets = jax.jit(batches.for_training)(jax.random.key(0), IMAGES, LABELS)
    assert (images.dtype, images.shape) == (dtype, IMAGES.shape)
    assert np.array_equal(targets.others, LABELS[::-1])
    assert jnp.isfinite(images).all()
    assert np.array_equal(
        batches.for_evaluation(IMAGES), dataclasses.replace(PLAIN, dtype=dtype).for_evaluation(IMAGES)
    )


def test_resized_crops_have_size_asked_for():
    batches = dataclasses.replace(PLAIN, augment=AugmentOptions(resized_crop=4))
    assert batches.for_training(jax.random.key(0), IMAGES, LABELS)[0].shape == (6, 4, 4, 2)
    assert batches.for_evaluation(IMAGES).shape == (6, 4, 4, 2)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixed_loss_is_the_mixture_of_losses(smoothing):
    logits = jnp.asarray(RNG.normal(size=(6, 6)), jnp.float32)
    share = jnp.asarray(0.3)

    def loss(labels):
        return cross_entropy(logits, labels, smoothing)

    mixed = mixed_loss(loss, Targets(LABELS, LABELS[::-1], share))
    own, other = (cross_entropy(logits, labels, smoothing) for labels in (LABELS, LABELS[::-1]))
    np.testing.assert_allclose(mixed, 0.3 * own + 0.7 * other, rtol=1e-5)
    assert np.array_equal(mixed_loss(loss, Targets(LABELS)), own)


def test_every_step_draws_anew_and_run_is_reproducible(dataset, network, start, mask, keys):
    """The same image everywhere and a learning rate of almost nothing: losses differ by augmentation only."""
    same = dataset.train._replace(images=np.repeat(dataset.train.images[:1], 70, axis=0), labels=np.zeros(70, np.int32))
    dataset = dataclasses.replace(dataset, train=same)
    options = TrainOptions(epochs=2, batch_size=70, lr=1e-12, momentum=0.0)
    augment = AugmentOptions(crop_padding=1, flip=True)

    def losses(augment, keys=keys):
        trainer = Trainer(network, dataset, options, augment)
        return [record["train_loss"] for record in train_one(trainer, start, mask, keys).history]

    plain = losses(AugmentOptions())
    assert plain[0] == pytest.approx(plain[1], rel=1e-5)
    augmented = losses(augment)
    assert augmented == losses(augment)
    assert abs(augmented[0] - augmented[1]) > 1e-4
    assert augmented != losses(augment, keys._replace(augment=jax.random.key(9)))


class Encoded:
    """The images of a split as PNG files."""

    def __init__(self, split):
        self.split = split

    def __getitem__(self, row):
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(self.split.images[row, ..., 0]).resize((20, 20)).save(file, "PNG")
        return file.getvalue(), int(self.split.labels[row])


@pytest.fixture(scope="module")
def streams(dataset):
    parts = {
        name: Stream(Encoded(getattr(dataset, name)), np.arange(getattr(dataset, name).size), 4, threads=2)
        for name in ("train", "val", "test")
    }
    return Dataset("streamed", **parts, num_classes=3, class_names=("a", "b", "c"), mean=(0.3,) * 3, std=(0.2,) * 3)


@pytest.fixture
def colour_start(start):
    kernel = np.repeat(start.params["fc1"]["kernel"], 3, axis=0)
    return Weights({**start.params, "fc1": {**start.params["fc1"], "kernel": kernel}}, start.model_state)


@pytest.fixture
def colour_mask(mask):
    return {**mask, "fc1/kernel": np.repeat(mask["fc1/kernel"], 3, axis=0)}


OPTIONS = TrainOptions(epochs=3, batch_size=16, lr=0.05)


@pytest.fixture(scope="module")
def trainer(streams, network):
    return Trainer(network, streams, OPTIONS, AugmentOptions(flip=True, resized_crop=4))


def test_streamed_training_learns_and_evaluates_every_image_once(trainer, colour_start, colour_mask, keys):
    found = train_one(trainer, colour_start, colour_mask, keys)
    losses = [record["train_loss"] for record in found.history]
    assert losses[-1] < losses[0]
    assert int(found.last.model_state["seen"]) == 3 * (70 // 16)
    accuracies = {name: trainer.evaluate(found.last, name).accuracy for name in ("val", "test")}
    for name, count in {"val": 21, "test": 33}.items():
        assert accuracies[name] * count == pytest.approx(round(accuracies[name] * count), abs=1e-4)
    assert trainer.compilations == {"train_step": 1, "evaluate": 1}


def test_a_stream_feeds_many_devices(trainer, colour_start, colour_mask, keys):
    layout = Sharded.of(jax.devices())
    start = RunSpec(colour_start, colour_mask, keys)
    (found,), (wanted,) = (train_runs(trainer.on(where), [start]) for where in (layout, SINGLE))
    for line, same in zip(found.history, wanted.history, strict=True):
        assert line["train_loss"] == pytest.approx(same["train_loss"], rel=1e-5)
        for name in ("val_accuracy", "val_accuracy_balanced"):
            assert line[name] == same[name]


def test_process_without_share_fills_last_batch_up():
    part = pad_split(Split(np.zeros((0, 4, 4, 3), np.uint8), np.zeros(0, np.int32)), 2)
    assert [array.shape for array in part] == [(2, 4, 4, 3), (2,), (2,)]
    assert not part.weights.any()


def test_every_epoch_of_stream_has_its_own_order(trainer):
    first, again, second, other = (
        np.concatenate([batch.labels for batch in trainer.data.epoch(jax.random.key(seed), number)])
        for seed, number in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("stop_at", [2, 4, 9])
def test_streamed_run_stopped_anywhere_continues_with_same_batches(
    trainer, colour_start, colour_mask, keys, tmp_path, stop_at
):
    undisturbed = train_one(trainer, colour_start, colour_mask, keys)
    interrupts = Interrupts()

    class StopAt(Quiet):
        def advance(self, step, **rest):
            interrupts.requested = interrupts.requested or step == stop_at

    with pytest.raises(InterruptedRun):
        train_one(
            trainer, colour_start, colour_mask, keys, folder=tmp_path / "c", interrupts=interrupts, progress=StopAt()
        )
    continued = train_one(trainer, colour_start, colour_mask, keys, folder=tmp_path / "c")
    for found, expected in zip(jax.tree.leaves(continued.last), jax.tree.leaves(undisturbed.last), strict=True):
        assert np.array_equal(found, expected)


def test_streamed_split_without_images_has_no_scores(streams, network, colour_start):
    empty = dataclasses.replace(streams.val, rows=np.arange(0))
    trainer = Trainer(network, dataclasses.replace(streams, val=empty), OPTIONS)
    assert trainer.evaluate(colour_start, "val") is None
