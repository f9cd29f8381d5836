"""The compiled functions of a trainer in one layout of replicates, each made when it is first needed."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxticket.core.types import Params, PyTree
from jaxticket.parallel.layouts import Layout
from jaxticket.training.aids import AT_THE_END, split_off
from jaxticket.training.batches import EpochData
from jaxticket.training.mask_updates import MaskUpdate
from jaxticket.training.monitors import Monitor
from jaxticket.training.state import Weights
from jaxticket.training.step import NetworkFn, StepParts, make_evaluation, make_gradients, make_step, repeat, with_mask

copy_tree = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))


class CompiledSteps:
    """Functions of stacked replicates; masks, weights and lengths are arguments, so each compiles once.

    Args:
        parts: of the step of a single network.
        layout: of the replicates.
        own_data: whether every replicate has images of its own; the order in which it sees them it always has.
        counts: function name -> how often it was compiled, counted on here.
    """

    def __init__(self, parts: StepParts, layout: Layout, counts: dict[str, int], *, own_data: bool) -> None:
        apply = parts.apply

        def apply_gathered(params: Params, model_state: PyTree, images: jax.Array, **how: Any) -> Any:
            return apply(layout.gather_params(params), model_state, images, **how)

        self._parts = dataclasses.replace(
            parts,
            apply=apply_gathered,
            batches=dataclasses.replace(parts.batches, shard=layout.shard_batch),
            on_one_cpu=jax.default_backend() == "cpu" and not layout.shards_batches,
        )
        self._layout, self._counts = layout, counts
        self._data_axis = 0 if own_data else None
        self._epoch_axes: Any = EpochData(split=self._data_axis, order=0)  # type: ignore[arg-type]
        self._of_updates: dict[MaskUpdate | None, tuple[Any, Any]] = {}
        self._of_monitors: dict[Monitor, Any] = {}

    def step(self, update: MaskUpdate | None) -> Any:
        """(state, sums, epoch or batch) -> (state, sums), one step; `update` is one that penalises."""
        return self._steps(update)[0]

    def steps(self, update: MaskUpdate | None) -> Any:
        """(state, sums, epoch, count) -> (state, sums), `count` steps; `update` is one that penalises."""
        return self._steps(update)[1]

    @functools.cached_property
    def evaluate(self) -> Any:
        """(params, model_state, split, first, last, tally) -> tally."""
        evaluation = make_evaluation(self._evaluated(), self._parts.batches, self._parts.measures)
        evaluate = self._layout.map(evaluation, (0, 0, self._data_axis, None, None, 0))
        return jax.jit(self._counted("evaluate", evaluate))

    @functools.cached_property
    def gradients(self) -> Any:
        """(state, epoch) -> the gradients of the next batch, of pruned weights too."""
        return jax.jit(self._layout.map(make_gradients(self._parts), (0, self._epoch_axes)))

    @functools.cached_property
    def with_mask(self) -> Any:
        """(state, mask, state of the mask update) -> state."""
        return jax.jit(self._layout.map(with_mask, (0, 0, 0)), donate_argnums=0)

    def update_monitor(self, monitor: Monitor) -> Any:
        """(state of the monitor, params, mask, number of the measurement) -> state of the monitor."""
        if monitor not in self._of_monitors:
            self._of_monitors[monitor] = jax.jit(self._layout.map(monitor.update, (0, 0, 0, None)))
        return self._of_monitors[monitor]

    @functools.cached_property
    def choose(self) -> Any:
        """(whether, tree, other tree) -> copies of the first where true, else of the other."""

        def choose(first: jax.Array, one: PyTree, other: PyTree) -> PyTree:
            return jax.tree.map(lambda a, b: jnp.where(first, a, b), one, other)

        return jax.jit(self._layout.map(choose, (0, 0, 0)))

    def _steps(self, update: MaskUpdate | None) -> tuple[Any, Any]:
        """One step, where batches of a stream are only ever those of a single run; and many of them."""
        if update not in self._of_updates:
            step, axes = make_step(self._parts, update), (0, 0, self._epoch_axes)
            mapped = self._layout.map(step, axes)
            inside = self._layout.maps_inside_loops
            steps = repeat(mapped) if inside else self._layout.map(repeat(step), (*axes, None))
            found = (jax.jit(self._counted("train_step", one), donate_argnums=0) for one in (mapped, steps))
            self._of_updates[update] = (next(found), next(found))
        return self._of_updates[update]

    def _evaluated(self) -> NetworkFn:
        """The network as it is evaluated: the plain one, and with its aid where that stays."""
        apply, aid = self._parts.apply, self._parts.aid
        if aid is None or aid.steps is not None:
            return apply

        def aided(params: Params, model_state: PyTree, images: jax.Array, *, train: bool) -> Any:
            plain, own = split_off(Weights(params, model_state))
            step = jnp.int32(AT_THE_END)
            logits, *_ = aid.apply(own or Weights({}, {}), *plain, images, step, train=train)
            return logits, model_state

        return aided

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def traced(*args: Any) -> Any:
            self._counts[name] += 1  # runs only while tracing
            return function(*args)

        return traced
