"""The compiled functions of a trainer, each for one layout of replicates and made when it is first needed."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxticket.data.pipeline import epoch_order
from jaxticket.parallel.layouts import Layout
from jaxticket.training.aids import AT_THE_END, Aid, split_off
from jaxticket.training.batches import Batches, Epoch
from jaxticket.training.mask_updates import MaskUpdate
from jaxticket.training.monitors import Monitor
from jaxticket.training.options import TrainOptions
from jaxticket.training.state import Weights
from jaxticket.training.step import ApplyFn, Step, make_evaluation, make_gradients, make_step, repeat, with_mask


class Compiled:
    """Functions of joined replicates; masks, weights and lengths are arguments, so each compiles once.

    Attributes:
        counts: function name -> how often it was compiled.
        copy: a tree in memory of its own.
    """

    def __init__(
        self,
        apply: ApplyFn,
        optimizer: optax.GradientTransformation,
        schedule: Callable[[jax.Array], jax.Array],
        batches: Batches,
        options: TrainOptions,
        images: int,
        *,
        own_data: bool = False,
        aid: Aid | None = None,
    ) -> None:
        # Replicates share the images, unless the data is their own; the order in which they see them always is.
        self._data_axis = 0 if own_data else None
        self._epoch_axes: Any = Epoch(split=self._data_axis, order=0)  # type: ignore[arg-type]
        self.counts = {"train_step": 0, "evaluate": 0}
        self.copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))
        self._apply, self._optimizer, self._schedule = apply, optimizer, schedule
        self._batches, self._options, self._images = batches, options, images
        self._aid = aid
        self._made: dict[Any, Any] = {}

    def step(self, layout: Layout, rule: MaskUpdate | None) -> Any:
        """(state, sums, epoch or batch) -> (state, sums), one step; `rule` is one that penalises."""

        def make() -> Any:
            # Batches of a stream are only ever those of a single run.
            step = layout.map(self._plain_step(layout, rule), (0, 0, self._epoch_axes))
            return jax.jit(self._counted("train_step", step), donate_argnums=0)

        return self._once(("step", layout, rule), make)

    def steps(self, layout: Layout, rule: MaskUpdate | None) -> Any:
        """(state, sums, epoch, count) -> (state, sums), `count` steps."""

        def make() -> Any:
            step, axes = self._plain_step(layout, rule), (0, 0, self._epoch_axes)
            if layout.maps_inside_loops:
                steps = repeat(layout.map(step, axes))
            else:
                steps = layout.map(repeat(step), (*axes, None))
            return jax.jit(self._counted("train_step", steps), donate_argnums=0)

        return self._once(("steps", layout, rule), make)

    def evaluate(self, layout: Layout) -> Any:
        """(params, model_state, split, first, last, tally) -> tally."""

        def make() -> Any:
            evaluation = make_evaluation(self._evaluated(layout), self._batches_on(layout))
            evaluate = layout.map(evaluation, (0, 0, self._data_axis, None, None, 0))
            return jax.jit(self._counted("evaluate", evaluate))

        return self._once(("evaluate", layout), make)

    def gradients(self, layout: Layout) -> Any:
        """(state, epoch) -> the gradients of the next batch."""

        def make() -> Any:
            parts = (self._applied(layout), self._batches_on(layout), self._options, self._aid)
            gradients = make_gradients(*parts, on_one_cpu=_on_one_cpu(layout))
            return jax.jit(layout.map(gradients, (0, self._epoch_axes)))

        return self._once(("gradients", layout), make)

    def with_mask(self, layout: Layout) -> Any:
        """(state, mask, mask_state) -> state."""
        return self._once(("with_mask", layout), lambda: jax.jit(layout.map(with_mask, (0, 0, 0)), donate_argnums=0))

    def monitor(self, layout: Layout, monitor: Monitor) -> Any:
        """(record, params, mask, number of the look) -> record."""
        return self._once(("monitor", layout, monitor), lambda: jax.jit(layout.map(monitor.update, (0, 0, 0, None))))

    def order(self, layout: Layout) -> Any:
        """(key, number of the epoch) -> the order of its images."""

        def order(key: jax.Array, number: jax.Array) -> jax.Array:
            return epoch_order(key, number, self._images)

        return self._once(("order", layout), lambda: jax.jit(layout.map(order, (0, None))))

    def choose(self, layout: Layout) -> Any:
        """(whether, tree, other tree) -> copies of the first where true, else of the other."""

        def choose(first: jax.Array, one: Any, other: Any) -> Any:
            return jax.tree.map(lambda a, b: jnp.where(first, a, b), one, other)

        return self._once(("choose", layout), lambda: jax.jit(layout.map(choose, (0, 0, 0))))

    def _plain_step(self, layout: Layout, rule: MaskUpdate | None) -> Step:
        parts = (self._optimizer, self._schedule, self._batches_on(layout), self._options)
        return make_step(self._applied(layout), *parts, rule, self._aid, on_one_cpu=_on_one_cpu(layout))

    def _batches_on(self, layout: Layout) -> Batches:
        return dataclasses.replace(self._batches, shard=layout.shard_batch)

    def _applied(self, layout: Layout) -> ApplyFn:
        def apply(params: Any, model_state: Any, images: jax.Array, *, train: bool) -> tuple[jax.Array, Any]:
            return self._apply(layout.gather_params(params), model_state, images, train=train)

        return apply

    def _evaluated(self, layout: Layout) -> ApplyFn:
        """The network as it is evaluated: the plain one, and with its aid where that stays."""
        aid = self._aid
        if aid is None or aid.steps is not None:
            return self._applied(layout)

        def apply(params: Any, model_state: Any, images: jax.Array, *, train: bool) -> tuple[jax.Array, Any]:
            plain, own = split_off(Weights(params, model_state))
            step = jnp.int32(AT_THE_END)
            logits, *_ = aid.apply(own or Weights({}, {}), *plain, images, step, train=train)
            return logits, model_state

        return apply

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def traced(*args: Any) -> Any:
            self.counts[name] += 1  # runs only while tracing
            return function(*args)

        return traced


def _on_one_cpu(layout: Layout) -> bool:
    return jax.default_backend() == "cpu" and not layout.shards_batches
