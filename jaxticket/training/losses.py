"""Losses of each example, and what a batch is trained on."""

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
        logits: float [B, ..., K].
        labels: int32 [B, ...], class indices.
        smoothing: the share of the target that is not the label's, traced or not.
        kind: `uniform`: spread evenly over all K classes (Szegedy et al. 2016, section 7); `off_target`: over the
            others (Jaiswal et al. 2022).

    Returns:
        float32 [B, ...].
    """
    logits = logits.astype(jnp.float32)
    if not isinstance(smoothing, jax.Array):
        if not smoothing:
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        if kind == "uniform":
            targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1], dtype=jnp.float32), smoothing)
            return optax.softmax_cross_entropy(logits, targets)
    return optax.softmax_cross_entropy(logits, smoothed_targets(labels, logits.shape[-1], smoothing, kind))


def squared_error(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """The mean squared error of each example, float32 [B], of numbers [B, ..., K]."""
    return _over_outputs(optax.squared_error(outputs, targets))


def absolute_error(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """The mean absolute error of each example, float32 [B], of numbers [B, ..., K]."""
    return _over_outputs(jnp.abs(outputs - targets))


def huber(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """The mean Huber loss of each example, float32 [B], of numbers [B, ..., K]: quadratic up to a distance of 1."""
    return _over_outputs(optax.huber_loss(outputs, targets))


def sigmoid_cross_entropy(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """The mean binary cross entropy of the labels of each example, float32 [B]: targets are 0 or 1, [B, ..., K]."""
    return _over_outputs(optax.sigmoid_binary_cross_entropy(outputs, targets))


def _over_outputs(losses: jax.Array) -> jax.Array:
    return losses.mean(axis=tuple(range(1, losses.ndim)))


def training_loss(options: TrainOptions, steps_per_epoch: int) -> Callable[[jax.Array, Targets, Any], jax.Array]:
    """(outputs, targets, step) -> what is trained on, a float32 scalar: with smoothed labels and mixtures."""
    loss, smoothing = function_of_loss(options), smoothing_of(options, steps_per_epoch)

    def on(outputs: jax.Array, targets: Targets, step: Any) -> jax.Array:
        how: dict[str, Any] = {}
        if options.label_smoothing:
            how = {"smoothing": smoothing(step), "kind": options.label_smoothing_kind}
        return mixed_loss(lambda labels: loss(outputs, labels, **how), targets).mean()

    return on


def function_of_loss(options: TrainOptions) -> Callable[..., jax.Array]:
    """The function of `config.train.loss`, of outputs in float32."""
    function = options.loss_row.load
    return lambda outputs, targets, **how: jnp.asarray(function(outputs.astype(jnp.float32), targets, **how))


def mixed_loss(loss: Callable[[jax.Array], jax.Array], targets: Targets) -> jax.Array:
    """A loss of labels, of a batch that may be a mixture (Zhang et al. 2018, section 2)."""
    own = loss(targets.labels)
    if targets.others is None or targets.share is None:
        return own
    return targets.share * own + (1 - targets.share) * loss(targets.others)


def losses_of_examples(loss: Callable[..., jax.Array], outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """The loss of each example, float32 [B]; where the function gives a mean, it is called with one at a time."""
    found = loss(outputs, targets)
    if not found.ndim:
        found = jax.vmap(lambda output, target: loss(output[None], target[None]))(outputs, targets)
    return _over_outputs(found) if found.ndim > 1 else found


def smoothing_of(options: TrainOptions, steps_per_epoch: int) -> Callable[[Any], float | jax.Array]:
    """How much labels are smoothed at a step: a plain number where that is always the same."""
    if options.smoothing_schedule == "constant":
        return lambda step: options.label_smoothing
    return annealed(options.label_smoothing, options.total_steps(steps_per_epoch))
