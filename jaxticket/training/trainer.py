"""The one trainer: a network, an optimizer and a data set, compiled once for every level, branch and seed."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core import masks
from jaxticket.core.errors import ConfigError
from jaxticket.core.keys import named_key
from jaxticket.data.dataset import Dataset, Split
from jaxticket.data.options import AugmentOptions
from jaxticket.data.pipeline import epoch_order, pad_to_multiple
from jaxticket.data.streaming import Stream
from jaxticket.training.batches import Batch, Batches, DeviceSplit, Epoch
from jaxticket.training.mask_updates import MaskUpdate
from jaxticket.training.optimizers import make_optimizer
from jaxticket.training.options import TrainOptions
from jaxticket.training.schedules import learning_rate
from jaxticket.training.state import Sums, TrainState, Weights
from jaxticket.training.step import ApplyFn, make_evaluation, make_gradients, make_step, repeat, with_mask

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
            ConfigError: a batch holds more images than there are.
        """
        if options.batch_size > images:
            raise ConfigError(
                f"config.train.batch_size={options.batch_size}: must be at most the {images} training images"
            )
        per_epoch = images // options.batch_size
        return cls(per_epoch, options.steps or options.epochs * per_epoch)

    @property
    def epochs(self) -> int:
        """Epochs, the last one counted even where it is cut short."""
        return math.ceil(self.total_steps / self.steps_per_epoch)


@dataclasses.dataclass(frozen=True)
class Scores:
    """Mean cross entropy in nats and accuracy in [0, 1] over a whole split."""

    loss: float
    accuracy: float


class Trainer:
    """Everything about training that does not depend on the weights, the mask or the seed.

    Attributes:
        duration: steps per epoch and in all.
        batches: how a split becomes batches.
        compilations: function name -> how often it was compiled.
    """

    def __init__(
        self, apply: ApplyFn, dataset: Dataset, options: TrainOptions, augment: AugmentOptions | None = None
    ) -> None:
        augment = augment or AugmentOptions()
        if isinstance(dataset.train, Stream):  # which crops while it decodes
            augment = dataclasses.replace(augment, resized_crop=0)
        self.options = options
        self.duration = Duration.of(options, dataset.train.size)
        self.compilations = {"train_step": 0, "evaluate": 0}
        self.batches = Batches(
            options.batch_size,
            self.duration.steps_per_epoch,
            dataset.mean,
            dataset.std,
            options.compute_dtype,
            augment,
        )
        self._dataset = dataset
        self._splits: dict[str, DeviceSplit] = {}
        self._optimizer = make_optimizer(options)
        self.learning_rate = learning_rate(
            options,
            steps_per_epoch=self.duration.steps_per_epoch,
            total_steps=self.duration.total_steps,
        )
        self._apply = apply
        self._compiled: dict[MaskUpdate | None, tuple[Any, Any]] = {}
        self._evaluate = jax.jit(self._counted("evaluate", make_evaluation(apply, self.batches)))
        self._gradients = jax.jit(make_gradients(apply, self.batches, options))
        self._with_mask = jax.jit(with_mask, donate_argnums=0)
        self._copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))

    def begin(
        self,
        start: Weights,
        mask: dict[str, Any],
        key: jax.Array,
        step: int = 0,
        rule: MaskUpdate | None = None,
    ) -> TrainState:
        """A state at `step` with the pruned weights of `start` at zero and a fresh optimizer.

        Args:
            start: the weights to start from.
            mask: path -> bool array; the paths are leaves of `start.params`.
            key: for what is random within a step.
            step: where in the schedule and in the order of the data to start.
            rule: what will act on the mask.
        """
        mask = {path: jnp.array(kept) for path, kept in mask.items()}
        params = masks.apply_mask(jax.tree.map(jnp.array, start.params), mask)
        return TrainState(
            step=jnp.asarray(step, jnp.int32),
            params=params,
            model_state=jax.tree.map(jnp.array, start.model_state),
            opt_state=self._optimizer.init(params),
            mask=mask,
            key=jnp.copy(key),
            memory=None if rule is None else rule.remember(params, mask),
        )

    def epoch(self, key: jax.Array, number: int, position: int = 0) -> Epoch | Iterator[Batch]:
        """The training data of one epoch.

        Args:
            key: the run's key for the order of its data.
            number: of the epoch, from 0.
            position: the step of the epoch at which to begin.
        """
        train = self._dataset.train
        if isinstance(train, Stream):
            seed = int(jax.random.bits(jax.random.fold_in(key, number), dtype=jnp.uint32))
            parts = train.epoch(self.batches.batch_size, seed=seed, first=position)
            return (Batch(jnp.asarray(images), jnp.asarray(labels)) for images, labels in parts)
        return Epoch(self.split("train"), epoch_order(key, number, train.size))

    def run(
        self,
        state: TrainState,
        sums: Sums,
        epoch: Epoch | Iterator[Batch],
        count: int,
        rule: MaskUpdate | None = None,
    ) -> tuple[TrainState, Sums]:
        """`count` steps; `state` is donated. Returns before the device is done."""
        single_step, many_steps = self._steps(rule)
        if not isinstance(epoch, Epoch):
            for _ in range(count):
                state, sums = single_step(state, sums, next(epoch))
            return state, sums
        if count == 1 and self.steps_per_dispatch(state.params) == 1:
            return single_step(state, sums, epoch)
        return many_steps(state, sums, epoch, jnp.asarray(count, jnp.int32))

    def update_mask(self, state: TrainState, update: MaskUpdate, epoch: Epoch | Iterator[Batch]) -> TrainState:
        """The state, which is donated, under the mask that `update` gives it.

        Raises:
            ConfigError: gradients are asked for and the data is streamed.
        """
        gradients = None
        if update.needs_gradients:
            if not isinstance(epoch, Epoch):
                raise ConfigError(
                    "config.grow='gradient': needs data in memory, and this data set is streamed; use 'random'"
                )
            gradients = self._gradients(state, epoch)
        step = int(state.step)
        key = named_key(jax.random.fold_in(state.key, step), "mask")
        mask, memory = update.update(step, state.params, state.mask, state.memory, gradients, key)
        return self._with_mask(state, mask, memory)

    def steps_per_dispatch(self, params: Any) -> int:
        """Steps per call of the compiled loop.

        One for streamed data, and for convolutions on the CPU, where XLA runs a convolution inside a loop about eight
        times slower.
        """
        if self.options.steps_per_dispatch:
            return self.options.steps_per_dispatch
        streamed = isinstance(self._dataset.train, Stream)
        return 1 if streamed or self._unrolled(params) else _STEPS_PER_DISPATCH

    def evaluate(self, weights: Weights, split: str) -> Scores | None:
        """Loss and accuracy over a whole split, `train`, `val` or `test`; None where it holds nothing."""
        held = getattr(self._dataset, split)
        if not held.size:
            return None
        sums = Sums.zero()
        if isinstance(held, Stream):
            for part in held.in_order(self.batches.batch_size):
                sums = self._evaluate(*weights, self._padded(part), jnp.int32(0), jnp.int32(1), sums)
        else:
            data = self.split(split)
            count = len(data.labels) // self.batches.batch_size
            chunk = 1 if self._unrolled(weights.params) else count
            for first in range(0, count, chunk):
                bounds = jnp.asarray(first, jnp.int32), jnp.asarray(first + chunk, jnp.int32)
                sums = self._evaluate(*weights, data, *bounds, sums)
        total = jax.device_get(sums)
        return Scores(float(total.loss) / int(total.count), int(total.correct) / int(total.count))

    def split(self, name: str) -> DeviceSplit:
        """A split in memory, moved to the device on first use; those for evaluation are padded to whole batches."""
        if name not in self._splits:
            split = getattr(self._dataset, name)
            if name == "train":
                arrays = (np.asarray(split.images), np.asarray(split.labels), np.ones(split.size, np.float32))
                self._splits[name] = DeviceSplit(*(jnp.asarray(array) for array in arrays))
            else:
                self._splits[name] = self._padded(split)
        return self._splits[name]

    def copy(self, state: TrainState) -> Weights:
        """The weights of `state` in memory of their own, safe from donation."""
        return Weights(*self._copy((state.params, state.model_state)))

    def _steps(self, rule: MaskUpdate | None) -> tuple[Any, Any]:
        """One compiled step, and many; all rules without a penalty share them."""
        key = rule if rule is not None and rule.penalises else None
        if key not in self._compiled:
            step = make_step(self._apply, self._optimizer, self.learning_rate, self.batches, self.options, key)
            self._compiled[key] = (
                jax.jit(self._counted("train_step", step), donate_argnums=0),
                jax.jit(self._counted("train_step", repeat(step)), donate_argnums=0),
            )
        return self._compiled[key]

    def _padded(self, split: Split) -> DeviceSplit:
        arrays = pad_to_multiple(split, self.batches.batch_size)
        return DeviceSplit(*(jnp.asarray(array) for array in arrays))

    def _unrolled(self, params: Any) -> bool:
        """Whether each step is a call of its own."""
        return jax.default_backend() == "cpu" and any(leaf.ndim > 2 for leaf in jax.tree.leaves(params))

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def traced(*args: Any) -> Any:
            self.compilations[name] += 1  # runs only while tracing
            return function(*args)

        return traced
