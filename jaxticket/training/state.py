"""What training carries from step to step, and the sums an epoch is reported by."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxticket.core.types import Mask, Params, PyTree
from jaxticket.training.averaging import WeightAverage


class Weights(NamedTuple):
    """A network's arrays: what is trained, and what it collects on the way (batch-norm statistics)."""

    params: Params
    model_state: PyTree


class Keys(NamedTuple):
    """Independent random streams of a run, so that one can change while the others stay."""

    order: jax.Array
    augment: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AidState:
    """What belongs to an aid of training: its parameters, what it collects, and the moments of its own optimizer."""

    params: Params
    model_state: PyTree
    opt_state: PyTree


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """One network in training. `params` and the moments in `opt_state` are exactly zero where `mask` is False.

    Attributes:
        step: int32, the number of finished optimizer steps.
        params: what is trained.
        model_state: what the network collects.
        opt_state: of the optimizer.
        mask: path -> bool array.
        key: for what is random within a step.
        mask_state: of the mask update, None where there is none.
        monitor_state: of the monitor, None where there is none.
        lr_factor: of the learning rate beyond its schedule, None where that never changes.
        aid: of the aid of training until it ends.
        average: of the weights, None where they are not averaged.
    """

    step: jax.Array
    params: Params
    model_state: PyTree
    opt_state: PyTree
    mask: Mask
    key: jax.Array
    mask_state: PyTree = None
    monitor_state: PyTree = None
    lr_factor: jax.Array | None = None
    aid: AidState | None = None
    average: WeightAverage | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MetricSums:
    """Running totals over the examples of an epoch.

    Attributes:
        loss: float32 scalar, of the cross entropies of the labels as they are.
        correct: int32 scalar, of the labels that were right; float32 where an example has several, its share; None
            where targets are numbers.
        count: int32 scalar.
        bad_step: int32 scalar, the first step whose loss was not finite, else -1.
        objective: float32 scalar, of the losses that were trained on; None where these are the cross entropies.
    """

    loss: jax.Array
    correct: jax.Array | None
    count: jax.Array
    bad_step: jax.Array
    objective: jax.Array | None = None

    @classmethod
    def zero(cls, *, objective: bool = False, correct: str = "int32") -> "MetricSums":
        """Totals over no examples; with `objective`, what is trained on is summed separately.

        `correct` is the dtype of that field, empty for None.
        """
        return cls(
            loss=jnp.zeros((), jnp.float32),
            correct=jnp.zeros((), correct) if correct else None,
            count=jnp.zeros((), jnp.int32),
            bad_step=jnp.full((), -1, jnp.int32),
            objective=jnp.zeros((), jnp.float32) if objective else None,
        )
