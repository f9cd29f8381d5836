"""The one schema of results: a row for each trained network, for who writes it and for who reads it."""

import dataclasses
import math
import typing
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any

from jaxticket.core.checks import check_name, shown
from jaxticket.core.errors import ConfigError, JaxticketError
from jaxticket.core.json_kinds import KINDS, kind_of

# What is missing, or not finite, is None.
Number = float | None
_MANY = 2**31


@dataclasses.dataclass(frozen=True)
class Column:
    """What a value of a row is, for tables, pages and CSV files.

    Attributes:
        name: its key in a row.
        title: its heading.
        format: of its numbers, a Python format specification such as `.2%`; empty shows them in full.
        case: whether it tells networks of one branch, level and seed apart, such as a learning rate; only networks that
            are equal in it are compared.
    """

    name: str
    title: str
    format: str = ""
    case: bool = False

    def __post_init__(self) -> None:
        """Refuses a name that is none, and a format of no number."""
        check_name("column name", self.name)
        if not isinstance(self.title, str):
            raise ConfigError(f"column {self.name!r}: title={shown(self.title)}: must be a string")
        if not isinstance(self.format, str) or not any(_formats(number, self.format) for number in (1.0, 1)):
            raise ConfigError(f"column {self.name!r}: format={shown(self.format)}: must format numbers, such as '.2%'")


def _formats(number: float, text: str) -> bool:
    try:
        format(number, text)
    except ValueError:
        return False
    return True


@dataclasses.dataclass(frozen=True)
class Row:
    """One trained network; its annotations give the title and the format of each column.

    Attributes:
        case: what else it was trained with, such as `{"lr": 0.1}`: the columns that have `Column.case`.
        extra: the columns of its experiment: name -> a value of JSON.
    """

    # How its mask came about, the pruning round (0 is dense), the replicate.
    branch: Annotated[str, "branch"]
    level: Annotated[int, "level"]
    seed: Annotated[int, "seed"]
    # Removed shares in [0, 1]: of the prunable weights, of all weights, of each prunable leaf by path.
    sparsity: Annotated[float, "sparsity", ".2%"]
    sparsity_total: Annotated[Number, "sparsity of all weights", ".2%"] = None
    layer_sparsity: Annotated[Mapping[str, float], "sparsity by layer"] = dataclasses.field(default_factory=dict)
    kept: Annotated[Number, "weights kept", ",.0f"] = None
    # Accuracies in [0, 1] and mean cross entropies in nats of the reported weights; None where a split is empty.
    val_accuracy: Annotated[Number, "validation accuracy", ".2%"] = None
    test_accuracy: Annotated[Number, "test accuracy", ".2%"] = None
    val_accuracy_balanced: Annotated[Number, "validation accuracy, mean over classes", ".2%"] = None
    test_accuracy_balanced: Annotated[Number, "test accuracy, mean over classes", ".2%"] = None
    val_accuracy_top5: Annotated[Number, "validation accuracy, top 5", ".2%"] = None
    test_accuracy_top5: Annotated[Number, "test accuracy, top 5", ".2%"] = None
    val_loss: Annotated[Number, "validation loss", ".4f"] = None
    test_loss: Annotated[Number, "test loss", ".4f"] = None
    # Right after pruning, before it was trained; None of a network that was not pruned then.
    val_accuracy_pruned: Annotated[Number, "validation accuracy after pruning", ".2%"] = None
    test_accuracy_pruned: Annotated[Number, "test accuracy after pruning", ".2%"] = None
    # Of the last epoch, and of the epoch of the best validation accuracy.
    train_loss: Annotated[Number, "training loss", ".4f"] = None
    best_epoch: Annotated[Number, "best epoch", "g"] = None
    best_val_accuracy: Annotated[Number, "best validation accuracy", ".2%"] = None
    best_test_accuracy: Annotated[Number, "test accuracy of the best epoch", ".2%"] = None
    # What training took, and whether it was there before the command started.
    epochs: Annotated[Number, "epochs", "g"] = None
    seconds: Annotated[Number, "seconds of training", ".1f"] = None
    cached: Annotated[bool, "cached"] = False
    # Where its weights are, which of them are reported (`last` or `best_val`), the label of its saved ticket.
    stage: Annotated[str, "stage"] = ""
    weights: Annotated[str, "weights reported"] = ""
    ticket: Annotated[str | None, "ticket"] = None
    case: Mapping[str, float | str] = dataclasses.field(default_factory=dict)
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def remaining(self) -> float:
        """Kept share of the prunable weights, in [0, 1]."""
        return 1.0 - self.sparsity

    @property
    def treatment(self) -> str:
        """The branch, with the texts of its case: `transfer omp`; by it networks are grouped and compared."""
        return treatment(self.branch, self.case)

    @property
    def numbers(self) -> dict[str, float]:
        """The numbers of its case, such as `{"lr": 0.1}`."""
        return {name: value for name, value in self.case.items() if not isinstance(value, str)}

    def __getitem__(self, name: str) -> Any:
        """A value by the name of its column; None where it has none."""
        return self.to_json().get(name)

    def to_json(self) -> dict[str, Any]:
        """The row as it stands in `summary.json`, with its case and extra columns among the others."""
        own = {column.name: getattr(self, column.name) for column in COLUMNS}
        return {**own, **self.case, **self.extra}

    @classmethod
    def from_json(cls, value: Any, where: str = "row", columns: Collection[Column] = ()) -> "Row":
        """A row of `summary.json`; a value that is not of its column's kind counts as missing.

        Args:
            value: what was read.
            where: what the row is called in messages.
            columns: of its experiment; they say what belongs to its case. What no column names is `extra` too.

        Raises:
            JaxticketError: it is no object, or has no branch, level, seed or sparsity.
        """
        branch, level, seed, case = identity(value, where, columns)
        sparsity = number(value.get("sparsity"))
        if sparsity is None or not 0 <= sparsity <= 1:
            raise JaxticketError(f"{where}: sparsity is {value.get('sparsity')!r}; must be a number in [0, 1]")
        found = {name: _READ[kind](value.get(name)) for name, kind in _OPTIONAL.items()}
        known = {"branch", "level", "seed", "sparsity", *_OPTIONAL, *case}
        extra = {name: item for name, item in value.items() if name not in known}
        return cls(branch, level, seed, sparsity, **found, case=case, extra=extra)


def identity(value: Any, where: str, columns: Collection[Column] = ()) -> tuple[str, int, int, dict[str, float | str]]:
    """Branch, level, seed and case of a row, or of an epoch of one.

    `where` is what `value` is called in messages; the columns of its experiment say what belongs to the case.

    Raises:
        JaxticketError: it is no object, or one of the first three is missing or out of range.
    """
    if not isinstance(value, Mapping):
        raise JaxticketError(f"{where}: is {kind_of(value)}; must be an object")
    allowed = {str: KINDS[str], int: f"a whole number from 0 to {_MANY - 1:,}"}
    for name, kind in (("branch", str), ("level", int), ("seed", int)):
        found = value.get(name)
        in_range = 0 <= found < _MANY if isinstance(found, int) else True
        if not isinstance(found, kind) or isinstance(found, bool) or not in_range:
            raise JaxticketError(f"{where}: {name} is {found!r:.80}; must be {allowed[kind]}")
    items = {column.name: value.get(column.name) for column in columns if column.case}
    case = {name: item if isinstance(item, str) else number(item) for name, item in items.items()}
    known = {name: item for name, item in case.items() if item is not None}
    return value["branch"], value["level"], value["seed"], known


def treatment(branch: str, case: Mapping[str, float | str]) -> str:
    """A branch, with the texts of its case: each of them is a treatment of its own."""
    return " ".join([branch, *(value for value in case.values() if isinstance(value, str))])


def number(value: object) -> Number:
    """A finite number, or None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _numbers(value: object) -> dict[str, float]:
    items = value.items() if isinstance(value, Mapping) else ()
    return {str(name): found for name, item in items if (found := number(item)) is not None}


_READ = {
    Number: number,
    bool: bool,
    str: lambda value: str(value or ""),
    str | None: lambda value: str(value) if value else None,
    Mapping[str, float]: _numbers,
}
_ANNOTATIONS = {
    name: typing.get_args(kind)
    for name, kind in typing.get_type_hints(Row, include_extras=True).items()
    if typing.get_origin(kind) is Annotated
}
_OPTIONAL = {name: kind for name, (kind, *_) in list(_ANNOTATIONS.items())[4:]}
# The columns that every experiment has.
COLUMNS = tuple(Column(name, *said) for name, (_, *said) in _ANNOTATIONS.items())
# What rows may have besides, from whoever records them.
_RECORDED = ("saved_epochs", "permanent_aids")


def check_added(where: str, names: Iterable[str]) -> None:
    """Makes sure that an experiment's own columns, facts or cases are none of those that every row has.

    Args:
        where: what they are called in messages.
        names: theirs.

    Raises:
        ConfigError: a name is that of another value of the row, or comes twice.
    """
    seen = {*_RECORDED, *(column.name for column in COLUMNS)}
    for name in names:
        if name in seen:
            raise ConfigError(f"{where}: {name!r} is a value that its row has already; choose another name")
        seen.add(name)
