"""What is counted while a split is evaluated, and the scores that follow from it."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.training.losses import cross_entropy

_NEAR = 5


@dataclasses.dataclass(frozen=True)
class Scores:
    """How a network does on a whole split.

    Attributes:
        loss: mean cross entropy, in nats, of the labels as they are: no smoothing, no penalty.
        accuracy: share of the examples whose label has the largest logit, in [0, 1].
        accuracy_top5: share of those whose label is among the five largest, in [0, 1]; None of five classes or fewer.
        accuracy_balanced: mean, over the classes that occur, of the accuracy on the examples of each, in [0, 1].
    """

    loss: float
    accuracy: float
    accuracy_top5: float | None
    accuracy_balanced: float


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Tally:
    """Running totals over the examples of a split with K classes.

    Attributes:
        loss: float32 scalar, the sum of the cross entropies.
        seen: int32 [K], examples of each class.
        right: int32 [K], those of them that were classified as such.
        near: int32 scalar, examples whose label was among the five largest logits.
    """

    loss: jax.Array
    seen: jax.Array
    right: jax.Array
    near: jax.Array

    @classmethod
    def zero(cls, classes: int) -> "Tally":
        """Totals over no examples."""
        none = jnp.zeros((), jnp.int32)
        return cls(jnp.zeros((), jnp.float32), jnp.zeros(classes, jnp.int32), jnp.zeros(classes, jnp.int32), none)

    def add(self, logits: jax.Array, labels: jax.Array, weights: jax.Array) -> "Tally":
        """The totals with a batch; traced.

        Args:
            logits: float [B, K]. Of equal ones that of the lower class counts as larger; one that is no number never
                counts for a label.
            labels: int32 [B], 0 to K - 1.
            weights: float32 [B], 1 for an example and 0 for padding.
        """
        counts = weights > 0
        classes = jnp.arange(len(self.seen), dtype=labels.dtype)[None]
        of_class = (labels[:, None] == classes) & counts[:, None]
        right = logits.argmax(-1) == labels
        own = jnp.take_along_axis(logits, labels[:, None], -1)
        places = jnp.arange(logits.shape[-1], dtype=labels.dtype)[None]
        behind = (logits < own) | ((logits == own) & (places >= labels[:, None]))
        near = (~behind).sum(-1, dtype=jnp.int32) < _NEAR
        return Tally(
            loss=self.loss + (cross_entropy(logits, labels) * weights).sum(),
            seen=self.seen + of_class.sum(0, dtype=jnp.int32),
            right=self.right + (of_class & right[:, None]).sum(0, dtype=jnp.int32),
            near=self.near + (near & counts).sum(dtype=jnp.int32),
        )

    def scores(self) -> Scores:
        """The scores of a tally of NumPy arrays over at least one example."""
        seen, right = np.asarray(self.seen, np.int64), np.asarray(self.right, np.int64)
        examples, occurs = int(seen.sum()), seen > 0
        return Scores(
            loss=float(self.loss) / examples,
            accuracy=int(right.sum()) / examples,
            accuracy_top5=int(self.near) / examples if len(seen) > _NEAR else None,
            accuracy_balanced=float(np.mean(right[occurs] / seen[occurs])),
        )


def named(split: str, scores: Scores | None) -> dict[str, float | None]:
    """The scores on a split by the names that rows and curves give them, such as `val_loss`; without scores, Nones."""
    return {f"{split}_{field.name}": getattr(scores, field.name, None) for field in dataclasses.fields(Scores)}


def weighted_mean(values: Sequence[float], counts: Sequence[float]) -> float:
    """The mean over examples of means over batches of different sizes: `sum(values * counts) / sum(counts)`.

    Raises:
        ValueError: no examples were counted, or the lengths differ.

    Example:
        >>> from jaxticket.training import weighted_mean
        >>> weighted_mean([1.0, 4.0], [30, 10])
        1.75
    """
    if len(values) != len(counts):
        raise ValueError(f"weighted_mean: {len(values)} values and {len(counts)} counts; give one count for each value")
    if not sum(counts):
        raise ValueError("weighted_mean: the counts sum to 0; give at least one example")
    return float(np.average(np.asarray(values, np.float64), weights=np.asarray(counts, np.float64)))
