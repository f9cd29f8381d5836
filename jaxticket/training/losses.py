"""The classification loss."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxticket.recipes.annealing import annealed
from jaxticket.recipes.smoothing import smoothed_targets
from jaxticket.training.batches import Targets
from jaxticket.training.options import TrainOptions


def cross_entropy(
    logits: jax.Array, labels: jax.Array, smoothing: float | jax.Array = 0.0, kind: str = "uniform"
) -> jax.Array:
    """Softmax cross entropy of each example, in nats.

    Args:
        logits: float [B, K].
        labels: int32 [B], class indices.
        smoothing: the share of the target that is not the label's, traced or not.
        kind: `uniform`: spread evenly over all K classes (Szegedy et al. 2016, section 7); `off_target`: over the
            others (Jaiswal et al. 2022).

    Returns:
        float32 [B].
    """
    logits = logits.astype(jnp.float32)
    if not isinstance(smoothing, jax.Array):
        if not smoothing:
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        if kind == "uniform":
            targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1], dtype=jnp.float32), smoothing)
            return optax.softmax_cross_entropy(logits, targets)
    return optax.softmax_cross_entropy(logits, smoothed_targets(labels, logits.shape[-1], smoothing, kind))


def mixed_cross_entropy(
    logits: jax.Array, targets: Targets, smoothing: float | jax.Array = 0.0, kind: str = "uniform"
) -> jax.Array:
    """Cross entropy of each example of a batch that may be a mixture: float32 [B] (Zhang et al. 2018, section 2)."""
    loss = cross_entropy(logits, targets.labels, smoothing, kind)
    if targets.others is None or targets.share is None:
        return loss
    return targets.share * loss + (1 - targets.share) * cross_entropy(logits, targets.others, smoothing, kind)


def smoothing_of(options: TrainOptions, steps_per_epoch: int) -> Callable[[Any], float | jax.Array]:
    """How much labels are smoothed at a step: a plain number where that is always the same."""
    if options.smoothing_schedule == "constant":
        return lambda step: options.label_smoothing
    return annealed(options.label_smoothing, options.total_steps(steps_per_epoch))
