"""The one trainer: a network, an optimizer and a data set, compiled once for every level, branch and seed."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core import masks
from jaxticket.core.errors import ConfigError
from jaxticket.core.keys import named_key
from jaxticket.data.options import AugmentOptions
from jaxticket.data.pipeline import pad_to_multiple
from jaxticket.data.splits import Dataset, Split
from jaxticket.data.streaming import Stream
from jaxticket.parallel.layouts import SINGLE, Layout
from jaxticket.training.aids import Aid, split_off, with_own
from jaxticket.training.batches import Batch, Batches, DeviceSplit, Epoch
from jaxticket.training.compiled import Compiled
from jaxticket.training.mask_updates import MaskUpdate
from jaxticket.training.monitors import Monitor
from jaxticket.training.optimizers import make_optimizer
from jaxticket.training.options import TrainOptions
from jaxticket.training.schedules import learning_rate
from jaxticket.training.scores import Scores, Tally
from jaxticket.training.state import AidState, MetricSums, TrainState, Weights
from jaxticket.training.step import ApplyFn

_STEPS_PER_DISPATCH = 100


@dataclasses.dataclass(frozen=True)
class Duration:
    """The length of a run: steps in an epoch, and in all."""

    steps_per_epoch: int
    total_steps: int

    @classmethod
    def of(cls, options: TrainOptions, images: int) -> "Duration":
        """The duration of training on `images` images.

        Raises:
            ConfigError: a batch holds more images than there are, or something of the options lies past the end.
        """
        if options.batch_size > images:
            raise ConfigError(
                f"config.train.batch_size={options.batch_size}: must be at most the {images} training images"
            )
        per_epoch = images // options.batch_size
        options.check_length(per_epoch)
        return cls(per_epoch, options.total_steps(per_epoch))

    @property
    def epochs(self) -> int:
        """Epochs, the last one counted even where it is cut short."""
        return math.ceil(self.total_steps / self.steps_per_epoch)


class Trainer:
    """Everything about training that does not depend on the weights, the mask or the seed.

    Wherever there is a `layout`, states, sums and weights are those of the replicates it joined.

    Attributes:
        duration: steps per epoch and in all.
        batches: how a split becomes batches.
        aid: what helps the networks until it ends, None where there is nothing.
        own_data: whether every replicate has a data set of its own, see `JointTrainer`.
    """

    own_data: bool = False

    def __init__(
        self,
        apply: ApplyFn,
        dataset: Dataset,
        options: TrainOptions,
        augment: AugmentOptions | None = None,
        aid: Aid | None = None,
    ) -> None:
        augment = augment or AugmentOptions()
        if isinstance(dataset.train, Stream):  # which crops while it decodes
            augment = dataclasses.replace(augment, resized_crop=0)
        self.options = options
        self.aid = aid
        self.duration = Duration.of(options, dataset.train.size)
        self.batches = Batches(
            options.batch_size,
            self.duration.steps_per_epoch,
            dataset.mean,
            dataset.std,
            options.compute_dtype,
            augment,
        )
        self._dataset = dataset
        self._splits: dict[tuple[str, Layout], DeviceSplit] = {}
        self._zeros: dict[tuple[Any, ...], Any] = {}
        self._optimizer = make_optimizer(options)
        self.learning_rate = learning_rate(
            options,
            steps_per_epoch=self.duration.steps_per_epoch,
            total_steps=self.duration.total_steps,
        )
        self._compiled = Compiled(
            apply,
            self._optimizer,
            self.learning_rate,
            self.batches,
            options,
            dataset.train.size,
            own_data=self.own_data,
            aid=aid,
        )

    def begin(
        self,
        start: Weights,
        mask: dict[str, Any],
        key: jax.Array,
        step: int = 0,
        rule: MaskUpdate | None = None,
        monitor: Monitor | None = None,
    ) -> TrainState:
        """A state at `step` with the pruned weights of `start` at zero, a fresh optimizer and, until it ends, the aid.

        Args:
            start: the weights to start from.
            mask: path -> bool array; the paths are leaves of `start.params`.
            key: for what is random within a step.
            step: where in the schedule and in the order of the data to start.
            rule: what will act on the mask.
            monitor: what will look at the network.
        """
        mask = {path: jnp.array(kept) for path, kept in mask.items()}
        start, carried = split_off(start)
        params = masks.apply_mask(jax.tree.map(jnp.array, start.params), mask)
        return TrainState(
            step=jnp.asarray(step, jnp.int32),
            params=params,
            model_state=jax.tree.map(jnp.array, start.model_state),
            opt_state=self._optimizer.init(params),
            mask=mask,
            key=jnp.copy(key),
            mask_state=None if rule is None else rule.init_state(params, mask),
            monitor_state=None
            if monitor is None
            else monitor.init_state(params, mask, len(self.measurements(monitor, step))),
            lr_factor=jnp.ones((), jnp.float32) if self.options.schedule == "plateau" else None,
            aid=self._begin_aid(start, carried, key, step),
        )

    @property
    def aid_end(self) -> int | None:
        """The number of finished steps at which the aid is dropped; None where there is none, or it stays."""
        if self.aid is None or self.aid.steps is None:
            return None
        return min(self.aid.steps, self.duration.total_steps)

    def weights(self, state: TrainState) -> Weights:
        """The weights of `state`, with those of an aid that stays."""
        weights = Weights(state.params, state.model_state)
        if state.aid is None or self.aid is None or self.aid.steps is not None:
            return weights
        return with_own(weights, Weights(state.aid.params, state.aid.model_state))

    def measurements(self, monitor: Monitor | None, start_step: int = 0) -> list[int]:
        """The numbers of finished steps after which `monitor` looks at a run that begins at `start_step`."""
        if monitor is None:
            return []
        times = monitor.steps(self.duration.steps_per_epoch, self.duration.total_steps)
        return [step for step in times if start_step < step <= self.duration.total_steps]

    @property
    def compilations(self) -> dict[str, int]:
        """Function name -> how often it was compiled, `train_step` and `evaluate`."""
        return self._compiled.counts

    def zero_sums(self, count: int, layout: Layout, rule: MaskUpdate | None = None) -> MetricSums:
        """Totals over no examples, for `count` replicates whose masks `rule` changes; not donated, so made once."""
        smooths = self.options.label_smoothing or self.batches.augment.mixup
        objective = bool(smooths) or (rule is not None and rule.penalises)
        return self._zero(
            (count, layout, objective), lambda: layout.stack([MetricSums.zero(objective=objective)] * count)
        )

    @property
    def streams(self) -> bool:
        """Whether the training images come from a stream, which only a single run can follow."""
        return isinstance(self._dataset.train, Stream)

    def epoch(self, key: jax.Array, number: int, position: int = 0, layout: Layout = SINGLE) -> Epoch | Iterator[Batch]:
        """The training data of one epoch.

        Args:
            key: the run's key for the order of its data.
            number: of the epoch, from 0.
            position: the step of the epoch at which to begin.
            layout: of the keys.
        """
        train = self._dataset.train
        if isinstance(train, Stream):
            seed = int(jax.random.bits(jax.random.fold_in(key, number), dtype=jnp.uint32))
            parts = train.epoch(self.batches.batch_size, seed=seed, first=position, process=layout.batch_part)
            return (Batch(*layout.assemble((images, labels))) for images, labels in parts)
        return Epoch(self.split("train", layout), self._compiled.order(layout)(key, number))

    def run(
        self,
        state: TrainState,
        sums: MetricSums,
        epoch: Epoch | Iterator[Batch],
        count: int,
        rule: MaskUpdate | None = None,
        layout: Layout = SINGLE,
    ) -> tuple[TrainState, MetricSums]:
        """`count` steps; `state` is donated. Returns before the device is done."""
        rule = rule if rule is not None and rule.penalises else None  # all without a penalty share a compiled step
        if not isinstance(epoch, Epoch):
            for _ in range(count):
                state, sums = self._compiled.step(layout, rule)(state, sums, next(epoch))
            return state, sums
        if count == 1 and self.steps_per_dispatch(state.params, layout) == 1:
            return self._compiled.step(layout, rule)(state, sums, epoch)
        return self._compiled.steps(layout, rule)(state, sums, epoch, jnp.asarray(count, jnp.int32))

    def update_monitor(self, state: TrainState, monitor: Monitor, number: int, layout: Layout = SINGLE) -> TrainState:
        """The state after look `number` of `monitor`, from 0."""
        update = self._compiled.monitor(layout, monitor)
        record = update(state.monitor_state, state.params, state.mask, jnp.asarray(number, jnp.int32))
        return dataclasses.replace(state, monitor_state=record)

    def update_mask(
        self, state: TrainState, update: MaskUpdate, epoch: Epoch | Iterator[Batch], layout: Layout = SINGLE
    ) -> TrainState:
        """The state, which is donated, under the mask that `update` gives it.

        Raises:
            ConfigError: gradients are asked for and the data is streamed.
        """
        gradients: list[Any] | None = None
        if update.needs_gradients:
            if not isinstance(epoch, Epoch):
                raise ConfigError(
                    "config.grow='gradient': needs data in memory, and this data set is streamed; use 'random'"
                )
            gradients = layout.unstack(self._gradients(state, epoch, layout))
        updated = []
        for number, one in enumerate(layout.unstack(state)):
            step = int(one.step)
            key = named_key(jax.random.fold_in(one.key, step), "mask")
            given = None if gradients is None else gradients[number]
            updated.append(update.update(step, one.params, one.mask, one.mask_state, given, key))
        return self._compiled.with_mask(layout)(state, *layout.stack(updated))

    def steps_per_dispatch(self, params: Any, layout: Layout = SINGLE) -> int:
        """Steps per call of the compiled loop.

        One for streamed data, and for convolutions on the CPU, where XLA runs a convolution inside a loop about eight
        times slower.
        """
        if self.options.steps_per_dispatch:
            return self.options.steps_per_dispatch
        return 1 if self.streams or self._unrolled(params, layout) else _STEPS_PER_DISPATCH

    def evaluate(self, weights: Weights, split: str) -> Scores | None:
        """The scores over a whole split, `train`, `val` or `test`; None where it holds nothing."""
        return self.evaluate_each(weights, split, 1, SINGLE)[0]

    def evaluate_each(self, weights: Weights, split: str, count: int, layout: Layout) -> list[Scores | None]:
        """`evaluate` for each of `count` replicates."""
        held = getattr(self._dataset, split)
        if not held.size:
            return [None] * count
        classes = self._dataset.num_classes
        tally = self._zero((count, layout), lambda: layout.stack([Tally.zero(classes)] * count))
        evaluate = self._compiled.evaluate(layout)
        if isinstance(held, Stream):
            for part in held.in_order(self.batches.batch_size, process=layout.batch_part):
                batch = layout.assemble(_filled_up(part, self.batches.batch_size // layout.batch_part[1]))
                tally = evaluate(*weights, batch, jnp.int32(0), jnp.int32(1), tally)
        else:
            data = self.split(split, layout)
            batches = data.labels.shape[-1] // self.batches.batch_size
            chunk = 1 if self._unrolled(weights.params, layout) else batches
            for first in range(0, batches, chunk):
                bounds = jnp.asarray(first, jnp.int32), jnp.asarray(first + chunk, jnp.int32)
                tally = evaluate(*weights, data, *bounds, tally)
        return [one.scores() for one in layout.fetch(tally)]

    def better_of(self, best: Weights, state: TrainState, better: Sequence[bool], layout: Layout) -> Weights:
        """Copies of the weights of `state` for those replicates where they are `better`, else of `best`."""
        if all(better):
            return self.copy(state)
        if not any(better):
            return best
        chosen = layout.stack([jnp.asarray(one) for one in better])
        return self._compiled.choose(layout)(chosen, self.weights(state), best)

    def split(self, name: str, layout: Layout = SINGLE) -> DeviceSplit:
        """A split in memory, moved to the device on first use; those for evaluation are padded to whole batches."""
        if (name, layout) not in self._splits:
            self._splits[name, layout] = layout.share(self._on_device(self._dataset, name))
        return self._splits[name, layout]

    def copy(self, state: TrainState) -> Weights:
        """The weights of `state` in memory of their own, safe from donation."""
        return Weights(*self._compiled.copy(tuple(self.weights(state))))

    def _zero(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if key not in self._zeros:
            self._zeros[key] = make()
        return self._zeros[key]

    def _begin_aid(self, start: Weights, carried: Weights | None, key: jax.Array, step: int) -> AidState | None:
        """The aid of a run that begins at `step`; one that stays goes on from what the weights carry."""
        if self.aid is None or (self.aid_end is not None and step >= self.aid_end):
            return None
        if self.aid.steps is not None or carried is None:
            carried = Weights(*self.aid.begin(start.params, start.model_state, named_key(key, "aid")))
        own = jax.tree.map(jnp.array, carried)
        return AidState(own.params, own.model_state, self._optimizer.init(own.params))

    def _gradients(self, state: TrainState, epoch: Epoch, layout: Layout = SINGLE) -> Any:
        return self._compiled.gradients(layout)(state, epoch)

    def _on_device(self, dataset: Dataset, name: str) -> DeviceSplit:
        split = getattr(dataset, name)
        if name != "train":
            return self._padded(split)
        arrays = (np.asarray(split.images), np.asarray(split.labels), np.ones(split.size, np.float32))
        return DeviceSplit(*(jnp.asarray(array) for array in arrays))

    def _padded(self, split: Split) -> DeviceSplit:
        arrays = pad_to_multiple(split, self.batches.batch_size)
        return DeviceSplit(*(jnp.asarray(array) for array in arrays))

    def _unrolled(self, params: Any, layout: Layout) -> bool:
        """Whether each step is a call of its own."""
        convolves = any(leaf.ndim > 2 + layout.axes for leaf in jax.tree.leaves(params))
        return jax.default_backend() == "cpu" and convolves


def _filled_up(part: Split, size: int) -> DeviceSplit:
    """A part of a batch, which may be empty, filled up to `size` examples with such as have weight 0; NumPy."""
    missing = size - part.size
    arrays = (part.images, part.labels, np.ones(part.size, np.float32))
    filled: list[Any] = [np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)) for array in arrays]
    return DeviceSplit(*filled)
