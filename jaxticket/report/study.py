"""What an experiment left in its folder, as typed values."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jaxticket.core.errors import ConfigError, JaxticketError, one_line
from jaxticket.core.json_kinds import kind_of
from jaxticket.lab.row import Column, Number, Row, treatment
from jaxticket.report.records import read_record

if TYPE_CHECKING:
    from jaxticket.lab.registry import Experiment

_T = TypeVar("_T")

# What is measured of a trained network, as its row has it.
MEASURED = tuple(
    f"{split}_{name}"
    for name in ("accuracy", "accuracy_pruned", "accuracy_balanced", "accuracy_top5", "loss")
    for split in ("test", "val")
)


@dataclasses.dataclass(frozen=True)
class EpochCurves:
    """One point of a learning curve; a number that is missing, or not finite, is None."""

    branch: str
    level: int
    seed: int
    epoch: float
    train_loss: Number = None
    train_accuracy: Number = None
    val_loss: Number = None
    val_accuracy: Number = None
    case: Mapping[str, float | str] = dataclasses.field(default_factory=dict)

    @property
    def treatment(self) -> str:
        """As of a row: the branch, with the texts of the case."""
        return treatment(self.branch, self.case)


@dataclasses.dataclass(frozen=True)
class Study:
    """What an experiment left in its folder.

    Attributes:
        summary: `summary.json` as it is.
        rows: its rows.
        epochs: `metrics.jsonl`.
        config: `config.json` as it is; empty where there is none.
        changed: names of the files that are not what the experiment wrote, as their checksums tell.
        intact: whether checksums say that nothing was changed; false too where there are none.
    """

    summary: Mapping[str, Any]
    rows: tuple[Row, ...]
    epochs: tuple[EpochCurves, ...] = ()
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    changed: tuple[str, ...] = ()
    intact: bool = False

    @classmethod
    def of(cls, summary: Mapping[str, Any], where: str = "summary.json", **files: Any) -> "Study":
        """A study from the content of its summary, `where` in messages; `files` are further attributes.

        Raises:
            JaxticketError: a row without branch, level, seed or sparsity.
        """
        rows = summary.get("rows", [])
        if not isinstance(rows, list):
            raise JaxticketError(f"{where}: rows is {kind_of(rows)}; must be a list of objects")
        columns = cls(summary, ()).columns
        found = tuple(Row.from_json(row, f"{where}: rows[{i}]", columns) for i, row in enumerate(rows))
        return cls(summary, found, **files)

    @functools.cached_property
    def experiment(self) -> "Experiment | None":
        """The experiment that wrote it; None where none of that name is registered."""
        from jaxticket.lab.registry import get_experiment  # its options need more than those who only look at rows

        try:
            return get_experiment(self.summary.get("experiment"))
        except ConfigError:
            return None

    @property
    def name(self) -> str:
        """What it is called: `config.name`, else the name of the experiment."""
        return str(self.summary.get("name") or self.summary.get("experiment") or "experiment")

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of its rows that other experiments lack."""
        return self.experiment.columns if self.experiment else ()

    @property
    def setting(self) -> str:
        """The network and the data set, as far as they are known: `lenet300 on digits`."""
        model, dataset = self.part("model").get("name"), self.part("dataset").get("name")
        return f"{model} on {dataset}" if model and dataset else str(model or dataset or "")

    @property
    def complete(self) -> bool:
        """Whether the experiment came to its end."""
        return bool(self.summary.get("complete", True))

    @property
    def warning(self) -> str:
        """One line on files that were changed; empty where none were."""
        if not self.changed:
            return ""
        were, them = ("was", "it") if len(self.changed) == 1 else ("were", "them")
        return (
            f"{', '.join(self.changed)} {were} changed after the experiment wrote {them}, so that numbers may be "
            f"others than those it found; the command of the experiment writes {them} again"
        )

    @contextlib.contextmanager
    def blamed(self, folder: Path) -> Iterator[None]:
        """Turns whatever is raised in this context into one line, unless checksums say that the files are as written.

        Raises:
            JaxticketError: something was raised, and the files may be a stranger's.
        """
        try:
            yield
        except JaxticketError:
            raise
        except Exception as error:
            if self.intact:
                raise
            raise JaxticketError(
                f"{folder}: its files are not as an experiment writes them ({type(error).__name__}: "
                f"{one_line(error)}); run the experiment's command again"
            ) from error

    @property
    def notes(self) -> tuple[str, ...]:
        """What the run said of how its rows must be read; a note about an option begins with its name.

        Raises:
            JaxticketError: they are no texts.
        """
        found = self.summary.get("notes") or []
        if not isinstance(found, list) or not all(isinstance(note, str) for note in found):
            raise JaxticketError("summary.json: notes is not a list of strings; run the experiment's command again")
        return tuple(found)

    def part(self, name: str) -> Mapping[str, Any]:
        """A group of the summary, such as `dataset`; empty where it is missing or null."""
        value = self.summary.get(name)
        return value if isinstance(value, Mapping) else {}

    def entries(self, name: str) -> list[Mapping[str, Any]]:
        """A list of the summary, such as `comparisons`, that the experiment noted; empty where it is missing.

        Raises:
            JaxticketError: it is no list of objects.
        """
        value = self.summary.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
            raise JaxticketError(f"summary.json: {name} is not a list of objects; run the experiment's command again")
        return value

    def records(self, name: str, kind: type[_T]) -> list[_T]:
        """The same list, each entry as a dataclass of this kind, read by the types of its fields.

        Raises:
            JaxticketError: an entry is not one.
        """
        return [read_record(kind, entry, f"summary.json: {name}[{i}]") for i, entry in enumerate(self.entries(name))]
