"""Metrics: what each example of a batch adds, and what follows from the sums over a split.

Outputs are float32 [B, ..., K], labels int32 [B, ...], numbers float32 [B, ..., K]. Of several labels of an example, as
of its pixels, shares are taken.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

_NEAR = 5


def correct(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Whether the largest output is the label's: bool [B, ...]."""
    return outputs.argmax(-1) == labels


def among_five(outputs: jax.Array, labels: jax.Array) -> jax.Array | None:
    """Whether the label is among the five largest outputs: bool [B, ...]; None of five classes or fewer.

    Of equal outputs that of the lower class counts as larger; one that is no number never counts for a label.
    """
    if outputs.shape[-1] <= _NEAR:
        return None
    own = jnp.take_along_axis(outputs, labels[..., None], -1)
    places = jnp.arange(outputs.shape[-1], dtype=labels.dtype).reshape((1,) * labels.ndim + (-1,))
    behind = (outputs < own) | ((outputs == own) & (places >= labels[..., None]))
    return (~behind).sum(-1, dtype=jnp.int32) < _NEAR


def of_each_class(outputs: jax.Array, labels: jax.Array) -> dict[str, jax.Array]:
    """For each class whether an example is of it, `seen`, and is classified as such, `right`: [B, K].

    Of several labels of an example, their shares.
    """
    classes = jnp.arange(outputs.shape[-1], dtype=labels.dtype).reshape((1,) * labels.ndim + (-1,))
    seen = labels[..., None] == classes
    right = seen & correct(outputs, labels)[..., None]
    between = tuple(range(1, labels.ndim))
    return {name: one.mean(between) if between else one for name, one in (("seen", seen), ("right", right))}


def per_class(sums: Mapping[str, np.ndarray], examples: int) -> list[float | None]:
    """The accuracy on each class, in [0, 1]; None of those that do not occur."""
    del examples
    pairs = zip(sums["right"], sums["seen"], strict=True)
    return [float(right / seen) if seen else None for right, seen in pairs]


def mean_over_classes(sums: Mapping[str, np.ndarray], examples: int) -> float:
    """The mean, over the classes that occur, of the accuracy on the examples of each."""
    return float(np.mean([share for share in per_class(sums, examples) if share is not None]))


def squares(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """The squared error, [B, ..., K]."""
    return jnp.square(outputs - targets)


def distances(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """The absolute error, [B, ..., K]."""
    return jnp.abs(outputs - targets)


def correct_labels(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Whether an output is above 0 where its label is 1, and not where it is 0: bool [B, ..., K]."""
    return (outputs > 0) == (targets > 0.5)


def moments(outputs: jax.Array, targets: jax.Array) -> dict[str, jax.Array]:
    """The squared errors, the targets and their squares, [B, ..., K]."""
    return {"error": squares(outputs, targets), "value": targets, "square": jnp.square(targets)}


def determination(sums: Mapping[str, np.ndarray], examples: int) -> float | None:
    """The coefficient of determination R2, a mean over outputs: 1 is perfect, 0 what the mean of the targets has.

    Outputs whose targets are all alike do not count; None where all are so.
    """
    names = ("error", "value", "square")
    by_output = {name: np.reshape(one, (-1, np.shape(one)[-1])) for name, one in sums.items()}
    error, value, square = (by_output[name] for name in names)
    count = examples * len(error)
    variance = square.sum(0) / count - (value.sum(0) / count) ** 2
    varies = variance > 1e-6 * square.sum(0) / count
    return float(np.mean(1 - error.sum(0)[varies] / count / variance[varies])) if varies.any() else None
