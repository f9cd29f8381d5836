"""Data sets on the devices of a layout: one that all replicates read, or one for each of them."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.data.pipeline import epoch_order, pad_to_multiple
from jaxticket.data.splits import Dataset, Split
from jaxticket.data.streaming import Stream
from jaxticket.parallel.layouts import Layout
from jaxticket.training.batches import Batch, Batches, DeviceSplit, EpochData


class DeviceData:
    """The batches of a layout, for training and for evaluation; splits move to the devices on first use.

    Args:
        datasets: one that all replicates share, in memory or streamed; or one for each replicate, in memory, with
            images of one shape and as many steps in an epoch.
        batches: how splits become batches.
        layout: of the replicates.
    """

    def __init__(self, datasets: Sequence[Dataset], batches: Batches, layout: Layout) -> None:
        self._datasets, self._batches, self._layout = tuple(datasets), batches, layout
        self._splits: dict[str, DeviceSplit] = {}
        images = datasets[0].train.size

        def order(key: jax.Array, number: jax.Array) -> jax.Array:
            return epoch_order(key, number, images)

        self._order = jax.jit(layout.map(order, (0, None)))

    def epoch(self, key: jax.Array, number: int, position: int = 0) -> EpochData | Iterator[Batch]:
        """The training data of one epoch.

        Args:
            key: the keys of the order of the data, stacked.
            number: of the epoch, from 0.
            position: the step of the epoch at which to begin.
        """
        layout, train = self._layout, self._datasets[0].train
        if isinstance(train, Stream):
            seed = int(jax.random.bits(jax.random.fold_in(key, number), dtype=jnp.uint32))
            parts = train.epoch(self._batches.batch_size, seed=seed, first=position, process=layout.batch_part)
            return (Batch(*layout.assemble((images, labels))) for images, labels in parts)
        if len(self._datasets) == 1:
            return EpochData(self.split("train"), self._order(key, number))
        used = self._batches.steps_per_epoch * self._batches.batch_size
        own = zip(layout.unstack(key), self._datasets, strict=True)
        orders = [epoch_order(key, number, dataset.train.size)[:used] for key, dataset in own]
        return EpochData(self.split("train"), layout.stack(orders))

    def evaluation(self, name: str, *, at_once: bool) -> Iterator[tuple[DeviceSplit, int, int]]:
        """The calls that evaluate a split: batches of it, and the numbers of the first and the last one (exclusive).

        Args:
            name: `train`, `val` or `test`.
            at_once: whether one call takes all batches of a split in memory, or each call one.
        """
        size, held = self._batches.batch_size, getattr(self._datasets[0], name)
        if isinstance(held, Stream):
            _, processes = self._layout.batch_part
            for part in held.in_order(size, process=self._layout.batch_part):
                yield self._layout.assemble(pad_split(part, size // processes)), 0, 1
            return
        split = self.split(name)
        count = split.weights.shape[-1] // size
        chunk = count if at_once else 1
        for first in range(0, count, chunk):
            yield split, first, first + chunk

    def split(self, name: str) -> DeviceSplit:
        """A split in memory; those for evaluation are padded to whole batches, and shorter ones of several as well."""
        if name not in self._splits:
            own = [self._whole(getattr(dataset, name), name) for dataset in self._datasets]
            if len(own) == 1:
                self._splits[name] = self._layout.share(_on_device(own[0]))
            else:
                longest = max(len(split.labels) for split in own)
                self._splits[name] = self._layout.stack([_on_device(_padded(split, longest)) for split in own])
        return self._splits[name]

    def _whole(self, split: Split, name: str) -> DeviceSplit:
        if name != "train":
            padded: Any = pad_to_multiple(split, self._batches.batch_size)
            return DeviceSplit(*padded)
        return pad_split(split, split.size)


def pad_split(split: Split, size: int) -> DeviceSplit:
    """A split, which may be empty, filled up to `size` examples with such as have weight 0; NumPy."""
    arrays: Any = (np.asarray(split.images), np.asarray(split.labels), np.ones(split.size, np.float32))
    return _padded(DeviceSplit(*arrays), size)


def _padded(split: DeviceSplit, size: int) -> DeviceSplit:
    missing = size - len(split.labels)
    if not missing:
        return split
    padded: Any = [np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)) for array in split]
    return DeviceSplit(*padded)


def _on_device(split: DeviceSplit) -> DeviceSplit:
    return DeviceSplit(*(jnp.asarray(array) for array in split))
