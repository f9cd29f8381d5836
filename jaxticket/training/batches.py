"""How a split becomes batches for a network: taken from the device or from a stream, augmented, normalised."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxticket.core.keys import named_key
from jaxticket.data import augmentation
from jaxticket.data.options import AugmentOptions
from jaxticket.data.pipeline import normalise, take_batch
from jaxticket.parallel.layouts import SINGLE


def batch_shapes(
    size: int, num_classes: int, targets: str, target_shape: tuple[int, ...]
) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    """What a network gives for a batch of so many images, and their labels, as shapes; see `Dataset`."""
    outputs = jax.ShapeDtypeStruct((size, *target_shape, num_classes), np.float32)
    return outputs, jax.ShapeDtypeStruct((size, *target_shape), np.int32) if targets == "classes" else outputs


class DeviceSplit(NamedTuple):
    """A split on the device: uint8 images [N, H, W, C], labels as those of `Split`, float32 example weights [N]."""

    images: jax.Array
    labels: jax.Array
    weights: jax.Array


class Targets(NamedTuple):
    """What a batch should be classified as: `labels`, or a mixture with `others` in which `labels` have a `share`."""

    labels: jax.Array
    others: jax.Array | None = None
    share: jax.Array | None = None


class Batch(NamedTuple):
    """One batch that was read from a stream: uint8 images [B, H, W, C], int32 labels [B]."""

    images: jax.Array
    labels: jax.Array

    def take(self, step: jax.Array, batches: "Batches") -> tuple[jax.Array, jax.Array]:
        """The batch itself, whatever the step."""
        del step
        return batches.shard((self.images, self.labels))


class EpochData(NamedTuple):
    """A split on the device and the order of its images in one epoch, int32 [N]."""

    split: DeviceSplit
    order: jax.Array

    def take(self, step: jax.Array, batches: "Batches") -> tuple[jax.Array, jax.Array]:
        """The images and labels of the optimizer step `step`, counted from the start of training."""
        position = (step % batches.steps_per_epoch) * batches.batch_size
        batch = take_batch(self.split.images, self.split.labels, self.order, position, batches.batch_size)
        return batches.shard(batch)


@dataclasses.dataclass(frozen=True)
class Batches:
    """Sizes, augmentation and normalisation, all constants of the compiled step.

    Attributes:
        batch_size: images per step.
        steps_per_epoch: steps after which the order of the data begins anew.
        mean: per channel, on the scale from 0 to 1 of a pixel's values.
        std: likewise.
        dtype: of the network's input.
        augment: random changes of training images.
        shard: divides the examples of a batch among devices, see `Layout.shard_batch`.
    """

    batch_size: int
    steps_per_epoch: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: str
    augment: AugmentOptions = dataclasses.field(default_factory=AugmentOptions)
    shard: Callable[[Any], Any] = dataclasses.field(default=SINGLE.shard_batch, compare=False)

    def for_training(self, key: jax.Array, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, Targets]:
        """The network's input and targets from uint8 [B, H, W, C] and int32 [B].

        Every kind of change has a key of its own, so that switching one on changes nothing about the others.
        """
        how = self.augment
        if how.crop_padding:
            images = augmentation.random_crop(named_key(key, "crop"), images, how.crop_padding)
        if how.resized_crop:
            images = augmentation.random_resized_crop(named_key(key, "resized_crop"), images, how.resized_crop)
        if how.flip:
            images = augmentation.random_flip(named_key(key, "flip"), images)
        if how.rotation:
            images = augmentation.random_rotation(named_key(key, "rotation"), images, how.rotation)
        inputs = self._normalise(images)
        if how.cutout:
            inputs = augmentation.cutout(named_key(key, "cutout"), inputs, how.cutout)
        if not how.mixup:
            return inputs, Targets(labels)
        inputs, share = augmentation.mixup(named_key(key, "mixup"), inputs, how.mixup)
        return inputs, Targets(labels, labels[::-1], share)

    def for_evaluation(self, images: jax.Array) -> jax.Array:
        """The network's input from uint8 [B, H, W, C]."""
        if self.augment.resized_crop:
            images = augmentation.resize_and_crop(images, self.augment.resized_crop)
        return self._normalise(images)

    def _normalise(self, images: jax.Array) -> jax.Array:
        return normalise(images, self.mean, self.std, self.dtype)
