"""What is counted while a split is evaluated, and the scores that follow from it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.errors import ConfigError
from jaxticket.core.lazy import load_object
from jaxticket.core.types import PyTree
from jaxticket.training.losses import function_of_loss, losses_of_examples
from jaxticket.training.objectives import CLASSES, METRICS, Metric
from jaxticket.training.options import TrainOptions


@dataclasses.dataclass(frozen=True)
class Scores:
    """How a network does on a whole split.

    Attributes:
        loss: mean loss of the targets as they are: no smoothing, no penalty; cross entropy is in nats.
        accuracy: what decides, higher is better: the share of the labels that have the largest output, in [0, 1], or
            the metric that `train.score` or the loss names, such as R2 of a regression.
        accuracy_top5: share of the labels that are among the five largest outputs, in [0, 1]; None of five classes or
            fewer, or where targets are numbers.
        accuracy_balanced: mean, over the classes that occur, of the accuracy on the examples of each, in [0, 1]; None
            where targets are numbers.
        others: those of `train.metrics`, by the ends of their columns.
    """

    loss: float
    accuracy: float
    accuracy_top5: float | None = None
    accuracy_balanced: float | None = None
    others: Mapping[str, Any] = dataclasses.field(default_factory=dict)


# Of every row, whatever the targets are.
_ALWAYS = tuple(field.name for field in dataclasses.fields(Scores) if field.name != "others")


@dataclasses.dataclass(frozen=True)
class Measures:
    """What is counted while a split is evaluated.

    Attributes:
        loss: (outputs, targets) -> a loss for each example or for all.
        metrics: name in `Scores` -> the metric.
    """

    loss: Callable[..., jax.Array]
    metrics: Mapping[str, Metric]

    @classmethod
    def of(cls, options: TrainOptions, targets: str) -> "Measures":
        """Those of some options, for targets of a kind, `classes` or `values`."""
        metrics = {"accuracy": score_of(options, targets)}
        if targets == CLASSES:
            metrics |= {name: METRICS.get(name) for name in ("accuracy_top5", "accuracy_balanced")}
        others = (METRICS.get(name, "train.metrics") for name in options.metrics)
        return cls(function_of_loss(options), metrics | {metric.column: metric for metric in others})

    def zero(self, outputs: jax.ShapeDtypeStruct, targets: jax.ShapeDtypeStruct) -> "Tally":
        """Totals over no examples, of batches of such outputs and targets."""
        weights = jax.ShapeDtypeStruct(outputs.shape[:1], jnp.float32)
        shapes = jax.eval_shape(lambda *batch: self.count(*batch), outputs, targets, weights)
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def count(self, outputs: jax.Array, targets: jax.Array, weights: jax.Array) -> "Tally":
        """What a batch adds; traced.

        Args:
            outputs: float [B, ..., K].
            targets: int32 [B, ...] or float32 [B, ..., K].
            weights: float32 [B], 1 for an example and 0 for padding.
        """
        outputs = outputs.astype(jnp.float32)

        def total(each: jax.Array) -> jax.Array:
            counts = (weights > 0).reshape(-1, *(1,) * (each.ndim - 1))
            whole = jnp.issubdtype(each.dtype, jnp.integer) or each.dtype == bool
            return jnp.where(counts, each, jnp.zeros_like(each)).sum(0, dtype=jnp.int32 if whole else jnp.float32)

        return Tally(
            loss=(losses_of_examples(self.loss, outputs, targets) * weights).sum(),
            examples=(weights > 0).sum(dtype=jnp.int32),
            sums={name: jax.tree.map(total, metric.load(outputs, targets)) for name, metric in self.metrics.items()},
        )

    def scores(self, tally: "Tally") -> Scores:
        """The scores of a tally of NumPy arrays over at least one example."""
        examples, found = int(tally.examples), {}
        for name, metric in self.metrics.items():
            found[name] = _finish(metric, tally.sums[name], examples)
        loss, known = float(tally.loss) / examples, {name: found.pop(name) for name in _ALWAYS if name in found}
        if known["accuracy"] is None:
            raise ConfigError(f"{self.metrics['accuracy'].name} has no value on a split of {examples} examples")
        return Scores(loss, **known, others=found)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Tally:
    """Running totals over the examples of a split.

    Attributes:
        loss: float32 scalar, the sum of the losses.
        examples: int32 scalar.
        sums: of each metric, what its examples have added up to.
    """

    loss: jax.Array
    examples: jax.Array
    sums: Mapping[str, PyTree]

    def plus(self, other: "Tally") -> "Tally":
        """The totals of both."""
        return jax.tree.map(jnp.add, self, other)


def score_of(options: TrainOptions, targets: str) -> Metric:
    """The metric that stands for accuracy, for targets of a kind."""
    return METRICS.get(options.score or options.loss_row.score_for(targets), "train.score")


def finished(metric: Metric, shapes: PyTree) -> Any:
    """What a metric could give: of sums of one, for what its function gives of a batch."""
    return _finish(metric, jax.tree.map(lambda leaf: np.ones(leaf.shape[1:]), shapes), 2)


def _finish(metric: Metric, sums: PyTree, examples: int) -> Any:
    """What follows from the sums over so many examples; None where nothing was added up."""
    sums = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), sums)
    if not jax.tree.leaves(sums):
        return None
    return load_object(metric.finish)(sums, examples) if metric.finish else float(np.mean(sums)) / examples


def named(split: str, scores: Scores | None) -> dict[str, Any]:
    """The scores on a split by the names that rows and curves give them, such as `val_loss`; without scores, Nones."""
    known = {f"{split}_{name}": getattr(scores, name, None) for name in _ALWAYS}
    return known | {f"{split}_{name}": value for name, value in (scores.others if scores else {}).items()}


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
