"""What networks are trained on and measured by, by name: losses and metrics. Importing the tables loads no JAX."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from jaxticket.core.errors import ConfigError
from jaxticket.core.lazy import check_loadable, load_object
from jaxticket.core.options import must_be_one_of
from jaxticket.core.registry import Registry

# What targets are: integer labels [batch, ...], numbers [batch, ..., outputs], or either.
CLASSES, VALUES, ANY = "classes", "values", "any"


@dataclass(frozen=True)
class Loss:
    """A loss: where its function is, and which targets it is for.

    The function takes outputs, float32 [B, ..., K], and targets: integer labels [B, ...] or numbers [B, ..., K]. It
    returns the mean over the batch, a scalar, or a loss for each example, [B] or [B, ...]. Losses are means over
    examples: where it returns a scalar, evaluation calls it with one example at a time.

    Attributes:
        name: by which it is chosen, `config.train.loss`.
        function: itself, or `package.module:function`, which is imported when it is needed.
        targets: `classes`, `values` or `any`.
        score: the metric that decides where accuracy does with classes; empty: `accuracy` of classes, `r2` of numbers.

    Example:
        >>> from jaxticket import training
        >>> def log_cosh(outputs, targets):
        ...     return jnp.log(jnp.cosh(outputs - targets)).mean()
        >>> training.register_loss(training.Loss("log_cosh", log_cosh, targets="values")).name
        'log_cosh'
        >>> "log_cosh" in training.objectives.LOSSES.names()
        True
    """

    name: str
    function: str | Callable[..., Any]
    targets: str = ANY
    score: str = ""

    def __post_init__(self) -> None:
        """Refuses what cannot be called, and targets of no kind."""
        _check(f"loss {self.name!r}:", self.function, self.targets)

    def score_for(self, targets: str) -> str:
        """The metric that decides, for targets of a kind."""
        return self.score or ("accuracy" if targets == CLASSES else "r2")

    @property
    def load(self) -> Callable[..., Any]:
        """The function."""
        return load_object(self.function)


@dataclass(frozen=True)
class Metric:
    """A metric: what is added up over the examples of a split, and what follows from it.

    The function takes outputs and targets as a loss does and returns an array [B, ...], or a tree of them, with what
    each example adds. `finish` gets their sums over the split, NumPy arrays [...], and the number of examples, and
    returns a number or a list of them; None divides by the number, and takes the mean. Of one that decides, higher must
    be better.

    Attributes:
        name: by which it is chosen, in `config.train.score` or `metrics`, and the end of its column's name.
        function: itself, or `package.module:function`.
        finish: likewise; None for the mean over examples.
        targets: `classes`, `values` or `any`.

    Example:
        >>> from jaxticket import training
        >>> def within_one(outputs, targets):
        ...     return jnp.abs(outputs - targets) < 1
        >>> training.register_metric(training.Metric("within_one", within_one, targets="values")).name
        'within_one'
    """

    name: str
    function: str | Callable[..., Any]
    finish: str | Callable[..., Any] | None = None
    targets: str = ANY

    def __post_init__(self) -> None:
        """Refuses what cannot be called, and targets of no kind."""
        _check(f"metric {self.name!r}:", self.function, self.targets)

    @property
    def column(self) -> str:
        """The end of the names of its columns: of `FILE.py:NAME` the name."""
        return self.name.rpartition(":")[2]

    @property
    def load(self) -> Callable[..., Any]:
        """The function."""
        return load_object(self.function)


def _check(who: str, function: object, targets: str) -> None:
    check_loadable(f"{who} function", function)
    if targets not in (CLASSES, VALUES, ANY):
        raise ConfigError(f"{who} targets={targets!r}: {must_be_one_of(targets, [CLASSES, VALUES, ANY])}")


def _own_losses() -> Iterator[Loss]:
    where = "jaxticket.training.losses:"
    yield Loss("cross_entropy", where + "cross_entropy", CLASSES)
    yield Loss("mean_squared_error", where + "squared_error", VALUES)
    yield Loss("mean_absolute_error", where + "absolute_error", VALUES)
    yield Loss("huber", where + "huber", VALUES)
    yield Loss("sigmoid_cross_entropy", where + "sigmoid_cross_entropy", VALUES, score="label_accuracy")


def _own_metrics() -> Iterator[Metric]:
    where = "jaxticket.training.metrics:"
    yield Metric("accuracy", where + "correct", targets=CLASSES)
    yield Metric("accuracy_top5", where + "among_five", targets=CLASSES)
    yield Metric("accuracy_balanced", where + "of_each_class", where + "mean_over_classes", CLASSES)
    yield Metric("accuracy_per_class", where + "of_each_class", where + "per_class", CLASSES)
    yield Metric("r2", where + "moments", where + "determination", VALUES)
    yield Metric("mean_squared_error", where + "squares", targets=VALUES)
    yield Metric("mean_absolute_error", where + "distances", targets=VALUES)
    yield Metric("label_accuracy", where + "correct_labels", targets=VALUES)


LOSSES: Registry[Loss] = Registry("loss", Loss, _own_losses, make=Loss)
METRICS: Registry[Metric] = Registry("metric", Metric, _own_metrics, make=Metric)


def register_loss(loss: Loss) -> Loss:
    """Makes a loss known by its name, `config.train.loss`, and returns it.

    Raises:
        ConfigError: it is no loss, or another has this name.
    """
    return LOSSES.register(loss)


def register_metric(metric: Metric) -> Metric:
    """Makes a metric known by its name, `config.train.metrics` or `score`, and returns it.

    Raises:
        ConfigError: it is no metric, or another has this name.
    """
    return METRICS.register(metric)
