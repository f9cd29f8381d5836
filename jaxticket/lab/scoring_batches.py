"""The training images that scores are computed on."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.data.splits import Split, permutation
from jaxticket.lab.setting import Setting

_BATCH_SIZE = 256


def scoring_images(split: Split, per_class: int, num_classes: int, seed: int) -> np.ndarray:
    """The rows of `per_class` images of every class, fewer where there are fewer, in random order.

    Where images do not have one class each, as many as that would be.
    """
    order = permutation(split.size, seed)
    if split.labels.ndim > 1:
        return order[: per_class * num_classes]
    labels = split.labels[order]
    rows = [order[labels == label][:per_class] for label in range(num_classes)]
    chosen = np.concatenate(rows)
    return chosen[permutation(len(chosen), seed + 1)]


def scoring_batches(
    setting: Setting, per_class: int, seed: int, what: str, instead: str = ""
) -> Iterator[tuple[jax.Array, jax.Array]]:
    """Normalised training images [batch, height, width, channels] without augmentation, and their labels [batch].

    `seed` is of their choice and order; `what` and `instead` are for the message, as of `Setting.needs_memory`.

    Raises:
        ConfigError: the images are streamed.
    """
    train = setting.images("train", what, instead)
    rows = scoring_images(train, per_class, setting.options.data.num_classes, seed)
    for first in range(0, len(rows), _BATCH_SIZE):
        part = rows[first : first + _BATCH_SIZE]
        images = setting.trainer.batches.for_evaluation(jnp.asarray(train.images[part]))
        yield images, jnp.asarray(train.labels[part])
