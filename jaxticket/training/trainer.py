"""The one trainer: a network, an optimizer and a data set, compiled once for every level, branch and seed."""

import copy
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp

from jaxticket.core import masks
from jaxticket.core.errors import ConfigError
from jaxticket.core.keys import named_key
from jaxticket.core.types import Params, PyTree
from jaxticket.data.options import AugmentOptions
from jaxticket.data.splits import Dataset
from jaxticket.data.streaming import Stream
from jaxticket.parallel.layouts import SINGLE, Layout
from jaxticket.training.aids import Aid, split_off, with_own
from jaxticket.training.averaging import WeightAverage
from jaxticket.training.batches import Batch, Batches, EpochData, batch_shapes
from jaxticket.training.compiled import CompiledSteps, copy_tree
from jaxticket.training.device_data import DeviceData
from jaxticket.training.duration import Duration
from jaxticket.training.mask_updates import MaskUpdate
from jaxticket.training.monitors import Monitor
from jaxticket.training.objectives import CLASSES
from jaxticket.training.optimizers import make_optimizer
from jaxticket.training.options import TrainOptions
from jaxticket.training.run_spec import RunSpec
from jaxticket.training.schedules import learning_rate
from jaxticket.training.scores import Measures, Scores
from jaxticket.training.state import AidState, MetricSums, TrainState, Weights
from jaxticket.training.step import NetworkFn, StepParts

_STEPS_PER_DISPATCH = 100


class Trainer:
    """Everything about training that does not depend on the weights, the mask or the seed, for replicates in a layout.

    States, sums and weights are those of the stacked replicates. A new trainer is one of a single network; `on` gives
    that of another layout, which shares the network and the options.

    Args:
        apply: the network.
        data: a data set; or several, one for each replicate, in memory, with images of one shape.
        options: of all.
        augment: of all.
        aid: what helps the networks until it ends, None where there is nothing.

    Attributes:
        duration: steps per epoch and in all.
        batches: how a split becomes batches.
        learning_rate: step -> the rate of the schedule.
        layout: of the replicates.
        compiled: the compiled functions.
        data: the batches on the devices.
        compilations: `train_step` and `evaluate` -> how often it was compiled, in all layouts.

    Raises:
        ConfigError: the epochs of several data sets have different lengths, or the options do not fit the data.
    """

    compiled: CompiledSteps
    data: DeviceData

    def __init__(
        self,
        apply: NetworkFn,
        data: Dataset | Sequence[Dataset],
        options: TrainOptions,
        augment: AugmentOptions | None = None,
        aid: Aid | None = None,
    ) -> None:
        self._datasets = (data,) if isinstance(data, Dataset) else tuple(data)
        dataset, augment = self._datasets[0], augment or AugmentOptions()
        if self.streams:  # which crop while they decode
            augment = dataclasses.replace(augment, resized_crop=0)
        self.options, self.aid = options, aid
        self.duration = Duration.of(options, dataset.train.size)
        lengths = {Duration.of(options, one.train.size).steps_per_epoch for one in self._datasets}
        if len(lengths) > 1:
            raise ConfigError(
                f"config.train.batch_size={options.batch_size}: data sets have {sorted(lengths)} steps in an epoch; "
                "train them one after the other, with config.seed_parallelism='serial'"
            )
        per_epoch, total = self.duration.steps_per_epoch, self.duration.total_steps
        self.batches = Batches(options.batch_size, per_epoch, dataset.mean, dataset.std, options.compute_dtype, augment)
        self.learning_rate = learning_rate(options, steps_per_epoch=per_epoch, total_steps=total)
        self._optimizer, self._measures = make_optimizer(options), Measures.of(options, dataset.targets)
        self._parts = StepParts(
            apply,
            self._optimizer,
            self.learning_rate,
            self.batches,
            options,
            self._measures,
            aid,
            draws="key" in inspect.signature(apply).parameters,
        )
        self.compilations = {"train_step": 0, "evaluate": 0}
        self._by_layout: dict[Layout, Trainer] = {}
        self._bind(SINGLE)

    def _bind(self, layout: Layout) -> None:
        self.layout = layout
        self.data = DeviceData(self._datasets, self.batches, layout)
        self.compiled = CompiledSteps(self._parts, layout, self.compilations, own_data=self.own_data)
        self._zeros: dict[tuple[int, bool | None], PyTree] = {}
        self._by_layout[layout] = self

    def on(self, layout: Layout) -> "Trainer":
        """The trainer of replicates in a layout; the same layout gives the same trainer."""
        if layout not in self._by_layout:
            copy.copy(self)._bind(layout)
        return self._by_layout[layout]

    @property
    def own_data(self) -> bool:
        """Whether every replicate has a data set of its own."""
        return len(self._datasets) > 1

    @property
    def _batch_shapes(self) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
        dataset = self._datasets[0]
        return batch_shapes(1, dataset.num_classes, dataset.targets, dataset.target_shape)

    @property
    def streams(self) -> bool:
        """Whether the training images come from a stream, which only a single run can follow."""
        return isinstance(self._datasets[0].train, Stream)

    @property
    def aid_end(self) -> int | None:
        """The number of finished steps at which the aid is dropped; None where there is none, or it stays."""
        if self.aid is None or self.aid.steps is None:
            return None
        return min(self.aid.steps, self.duration.total_steps)

    def begin(self, specs: Sequence[RunSpec]) -> TrainState:
        """The runs at their first step: pruned weights at zero, a fresh optimizer and, until it ends, the aid.

        Raises:
            MaskError: a path of a mask is no leaf of the parameters, or has another shape.
        """
        return self.layout.stack([self._begin(spec) for spec in specs])

    def _begin(self, spec: RunSpec) -> TrainState:
        mask = {path: jnp.array(kept) for path, kept in spec.mask.items()}
        start, carried = split_off(spec.weights)
        params = masks.apply_mask(jax.tree.map(jnp.array, start.params), mask)
        update, monitor, measurements = spec.mask_update, spec.monitor, len(self.measurements(spec))
        return TrainState(
            step=jnp.asarray(spec.start_step, jnp.int32),
            params=params,
            model_state=jax.tree.map(jnp.array, start.model_state),
            opt_state=self._optimizer.init(params),
            mask=mask,
            key=jnp.copy(spec.keys.augment),
            mask_state=update and update.init_state(params, mask),
            monitor_state=monitor and monitor.init_state(params, mask, measurements),
            lr_factor=jnp.ones((), jnp.float32) if self.options.schedule == "plateau" else None,
            aid=self._begin_aid(start, carried, spec.keys.augment, spec.start_step),
            average=WeightAverage.begin(params, start.model_state) if self.options.ema_decay else None,
        )

    def _begin_aid(self, start: Weights, carried: Weights | None, key: jax.Array, step: int) -> AidState | None:
        """The aid of a run that begins at `step`; one that stays continues from what the weights carry."""
        if self.aid is None or (self.aid_end is not None and step >= self.aid_end):
            return None
        if self.aid.steps is not None or carried is None:
            carried = Weights(*self.aid.begin(start.params, start.model_state, named_key(key, "aid")))
        own = jax.tree.map(jnp.array, carried)
        return AidState(own.params, own.model_state, self._optimizer.init(own.params))

    def measurements(self, spec: RunSpec) -> list[int]:
        """The numbers of finished steps after which the monitor of a run measures."""
        if spec.monitor is None:
            return []
        steps = spec.monitor.steps(self.duration.steps_per_epoch, self.duration.total_steps)
        return [step for step in steps if spec.start_step < step <= self.duration.total_steps]

    def weights(self, state: TrainState, *, averaged: bool = True) -> Weights:
        """The weights of `state`, or their average where there is one, with those of an aid that stays."""
        held = state.average if averaged and state.average else state
        weights = Weights(held.params, held.model_state)
        if state.aid is None or self.aid is None or self.aid.steps is not None:
            return weights
        return with_own(weights, Weights(state.aid.params, state.aid.model_state))

    def copy(self, state: TrainState, *, averaged: bool = True) -> Weights:
        """`weights` in memory of their own, safe from donation."""
        return Weights(*copy_tree(tuple(self.weights(state, averaged=averaged))))

    def zero_sums(self, count: int, update: MaskUpdate | None = None) -> MetricSums:
        """Totals over no examples, for `count` replicates whose masks `update` changes; not donated, so made once."""
        smooths = self.options.label_smoothing or self.batches.augment.mixup
        objective = bool(smooths) or (update is not None and update.penalises)
        dataset = self._datasets[0]
        correct = ("float32" if dataset.target_shape else "int32") if dataset.targets == CLASSES else ""
        return self._zero((count, objective), lambda: MetricSums.zero(objective=objective, correct=correct))

    def run(
        self,
        state: TrainState,
        sums: MetricSums,
        epoch: EpochData | Iterator[Batch],
        count: int,
        update: MaskUpdate | None = None,
    ) -> tuple[TrainState, MetricSums]:
        """`count` steps; `state` is donated. Returns before the device is done."""
        update = update if update and update.penalises else None  # all without a penalty share a compiled step
        if not isinstance(epoch, EpochData):
            for _ in range(count):
                state, sums = self.compiled.step(update)(state, sums, next(epoch))
            return state, sums
        if count == 1 and self.steps_per_dispatch(state.params) == 1:
            return self.compiled.step(update)(state, sums, epoch)
        return self.compiled.steps(update)(state, sums, epoch, jnp.asarray(count, jnp.int32))

    def update_monitor(self, state: TrainState, monitor: Monitor, number: int) -> TrainState:
        """The state after measurement `number` of `monitor`, from 0."""
        update = self.compiled.update_monitor(monitor)
        found = update(state.monitor_state, state.params, state.mask, jnp.asarray(number, jnp.int32))
        return dataclasses.replace(state, monitor_state=found)

    def update_mask(self, state: TrainState, update: MaskUpdate, epoch: EpochData | Iterator[Batch]) -> TrainState:
        """The state, which is donated, under the mask that `update` gives it.

        Raises:
            ConfigError: gradients are asked for and the data is streamed.
        """
        states = self.layout.unstack(state)
        gradients: list[Params] = [None] * len(states)
        if update.needs_gradients:
            if not isinstance(epoch, EpochData):
                raise ConfigError(
                    "config.grow='gradient': needs data in memory, and this data set is streamed; use 'random'"
                )
            gradients = self.layout.unstack(self.compiled.gradients(state, epoch))
        updated = []
        for one, own_gradients in zip(states, gradients, strict=True):
            step = int(one.step)
            key = named_key(jax.random.fold_in(one.key, step), "mask")
            updated.append(update.update(step, one.params, one.mask, one.mask_state, own_gradients, key))
        return self.compiled.with_mask(state, *self.layout.stack(updated))

    def steps_per_dispatch(self, params: Params) -> int:
        """Steps per call of the compiled loop.

        One for streamed data, and for convolutions on the CPU, where XLA runs a convolution inside a loop about eight
        times slower.
        """
        if self.options.steps_per_dispatch:
            return self.options.steps_per_dispatch
        return 1 if self.streams or self._unrolled(params) else _STEPS_PER_DISPATCH

    def evaluate(self, weights: Weights, split: str) -> Scores | None:
        """The scores of a single network over a whole split, `train`, `val` or `test`; None where it holds nothing."""
        (scores,) = self.evaluate_each(weights, split)
        return scores

    def evaluate_each(self, weights: Weights, split: str) -> list[Scores | None]:
        """`evaluate` for each of the stacked networks."""
        dataset, count = self._datasets[0], self.layout.count(jax.tree.leaves(weights)[0])
        if not getattr(dataset, split).size:
            return [None] * count
        tally = self._zero((count, None), lambda: self._measures.zero(*self._batch_shapes))
        for part, first, last in self.data.evaluation(split, at_once=not self._unrolled(weights.params)):
            bounds = jnp.asarray(first, jnp.int32), jnp.asarray(last, jnp.int32)
            tally = self.compiled.evaluate(*weights, part, *bounds, tally)
        return [self._measures.scores(one) for one in self.layout.fetch(tally)]

    def better_of(self, best: Weights, state: TrainState, better: Sequence[bool]) -> Weights:
        """Copies of the weights of `state` for those replicates where they are `better`, else of `best`."""
        if all(better):
            return self.copy(state)
        if not any(better):
            return best
        chosen = self.layout.stack([jnp.asarray(one) for one in better])
        return self.compiled.choose(chosen, self.weights(state), best)

    def _zero(self, key: tuple[int, bool | None], make: Callable[[], PyTree]) -> PyTree:
        if key not in self._zeros:
            self._zeros[key] = self.layout.stack([make()] * key[0])
        return self._zeros[key]

    def _unrolled(self, params: Params) -> bool:
        """Whether each step is a call of its own."""
        convolves = any(leaf.ndim > 2 + self.layout.axes for leaf in jax.tree.leaves(params))
        return jax.default_backend() == "cpu" and convolves
