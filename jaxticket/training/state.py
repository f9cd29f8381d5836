"""What training carries from step to step, and the sums an epoch is reported by."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Weights(NamedTuple):
    """A network's arrays: what is trained, and what it collects on the way (batch-norm statistics)."""

    params: Any
    model_state: Any


class Keys(NamedTuple):
    """Independent random streams of a run, so that one can change while the others stay."""

    order: jax.Array
    augment: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AidState:
    """What belongs to an aid of training: its parameters, what it collects, and the moments of its own optimizer."""

    params: Any
    model_state: Any
    opt_state: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """One network in training. `params` and the moments in `opt_state` are exactly zero where `mask` is False.

    `mask_state` is the state of the mask update, `monitor_state` that of the monitor, `lr_factor` what the
    learning rate is multiplied with beyond its schedule, `aid` the aid of training until it ends; each is None where
    there is no such thing.
    """

    step: jax.Array
    params: Any
    model_state: Any
    opt_state: Any
    mask: dict[str, jax.Array]
    key: jax.Array
    mask_state: Any = None
    monitor_state: Any = None
    lr_factor: jax.Array | None = None
    aid: AidState | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MetricSums:
    """Running totals over the examples of an epoch.

    Attributes:
        loss: float32 scalar, of the cross entropies of the labels as they are.
        correct: int32 scalar.
        count: int32 scalar.
        bad_step: int32 scalar, the first step whose loss was not finite, else -1.
        objective: float32 scalar, of the losses that were trained on; None where these are the cross entropies.
    """

    loss: jax.Array
    correct: jax.Array
    count: jax.Array
    bad_step: jax.Array
    objective: jax.Array | None = None

    @classmethod
    def zero(cls, *, objective: bool = False) -> "MetricSums":
        """Totals over no examples; with `objective`, what is trained on is summed apart."""
        return cls(
            loss=jnp.zeros((), jnp.float32),
            correct=jnp.zeros((), jnp.int32),
            count=jnp.zeros((), jnp.int32),
            bad_step=jnp.full((), -1, jnp.int32),
            objective=jnp.zeros((), jnp.float32) if objective else None,
        )
