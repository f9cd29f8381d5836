"""Replicates trained side by side on data sets of their own, such as the parts of one."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxticket.core.errors import ConfigError
from jaxticket.data.options import AugmentOptions
from jaxticket.data.pipeline import epoch_order
from jaxticket.data.splits import Dataset
from jaxticket.parallel.layouts import SINGLE, Layout
from jaxticket.training.aids import Aid
from jaxticket.training.batches import DeviceSplit, Epoch
from jaxticket.training.options import TrainOptions
from jaxticket.training.step import ApplyFn
from jaxticket.training.trainer import Duration, Trainer


class JointTrainer(Trainer):
    """A trainer of as many replicates as there are data sets, each of which sees what it would see alone.

    Args:
        apply: the network.
        datasets: one for each replicate, in memory, with images of one shape and as many steps in an epoch.
        options: of all.
        augment: of all.
        aid: of all.

    Raises:
        ConfigError: their epochs have different lengths.
    """

    own_data = True

    def __init__(
        self,
        apply: ApplyFn,
        datasets: Sequence[Dataset],
        options: TrainOptions,
        augment: AugmentOptions | None = None,
        aid: Aid | None = None,
    ) -> None:
        super().__init__(apply, datasets[0], options, augment, aid)
        self._datasets = tuple(datasets)
        lengths = {Duration.of(options, dataset.train.size).steps_per_epoch for dataset in datasets}
        if len(lengths) > 1:
            raise ConfigError(
                f"config.train.batch_size={options.batch_size}: data sets have {sorted(lengths)} steps in an epoch; "
                "train them one after the other, with config.seed_parallelism='serial'"
            )

    def epoch(self, key: jax.Array, number: int, position: int = 0, layout: Layout = SINGLE) -> Epoch:
        """The training data of one epoch of every replicate; see `Trainer.epoch`."""
        del position
        used = self.duration.steps_per_epoch * self.batches.batch_size
        sizes = [dataset.train.size for dataset in self._datasets]
        orders = [epoch_order(own, number, size)[:used] for own, size in zip(layout.unstack(key), sizes, strict=True)]
        return Epoch(self.split("train", layout), layout.stack(orders))

    def split(self, name: str, layout: Layout = SINGLE) -> DeviceSplit:
        """The split of every replicate; shorter ones are filled up with what no order and no weight lets count."""
        if (name, layout) not in self._splits:
            own = [self._on_device(dataset, name) for dataset in self._datasets]
            longest = max(len(split.labels) for split in own)
            self._splits[name, layout] = layout.stack([_filled_up(split, longest) for split in own])
        return self._splits[name, layout]


def _filled_up(split: DeviceSplit, length: int) -> DeviceSplit:
    missing = length - len(split.labels)
    return DeviceSplit(*(jnp.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)) for array in split))
