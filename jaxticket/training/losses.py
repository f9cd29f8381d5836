"""The classification loss."""

import jax
import jax.numpy as jnp
import optax

from jaxticket.training.batches import Targets


def cross_entropy(logits: jax.Array, labels: jax.Array, smoothing: float = 0.0) -> jax.Array:
    """Softmax cross entropy of each example, in nats.

    Args:
        logits: float [B, K].
        labels: int32 [B], class indices.
        smoothing: the share of the target spread evenly over all K classes (Szegedy et al. 2016, section 7).

    Returns:
        float32 [B].
    """
    logits = logits.astype(jnp.float32)
    if not smoothing:
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1], dtype=jnp.float32), smoothing)
    return optax.softmax_cross_entropy(logits, targets)


def mixed_cross_entropy(logits: jax.Array, targets: Targets, smoothing: float = 0.0) -> jax.Array:
    """Cross entropy of each example of a batch that may be a mixture: float32 [B] (Zhang et al. 2018, section 2)."""
    loss = cross_entropy(logits, targets.labels, smoothing)
    if targets.others is None or targets.share is None:
        return loss
    return targets.share * loss + (1 - targets.share) * cross_entropy(logits, targets.others, smoothing)
