"""The files of an experiment's folder as typed, checked values."""

import contextlib
import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from jaxticket.core.errors import JaxticketError, one_line
from jaxticket.core.json_kinds import kind_of

_T = TypeVar("_T")


def _storage() -> Any:
    """What reads files; NumPy comes with it, which those that show rows in memory do without."""
    from jaxticket import storage

    return storage


# What tells networks of one branch and level apart beside the seed; rows of most experiments have none of these.
CASES = ("lr", "part")

# What is measured of a trained network, as its row has it.
MEASURED = tuple(
    f"{split}_{name}"
    for name in ("accuracy", "accuracy_pruned", "accuracy_balanced", "accuracy_top5", "loss")
    for split in ("test", "val")
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One trained network; a number that is missing, or not finite, is None.

    Attributes:
        branch: how its mask came about, such as `dense` or `imp`.
        level: the round of pruning.
        seed: the replicate.
        sparsity: removed share of the prunable weights, in [0, 1].
        sparsity_total: removed share of all weights.
        val_accuracy: in [0, 1]; None where there is no validation split.
        test_accuracy: in [0, 1].
        val_accuracy_pruned: right after pruning, before it was trained; None of a network that was not pruned then.
        test_accuracy_pruned: the same.
        val_accuracy_balanced: mean over the classes.
        test_accuracy_balanced: the same.
        val_accuracy_top5: share of images whose label is among the five largest outputs; None of five classes or fewer.
        test_accuracy_top5: the same.
        val_loss: mean cross entropy in nats.
        test_loss: the same.
        train_loss: mean cross entropy over the last epoch, in nats.
        epochs: trained.
        seconds: of training.
        cached: whether it was there before the command started.
        stage: where its weights are.
        ticket: the label of its saved ticket, if there is one.
        layer_sparsity: path of a prunable leaf -> its removed share.
        case: what else it was trained with, such as `{"lr": 0.1}`; only networks of one case are compared.
        parameters: of its own network where that is another than the experiment's, such as a smaller dense one.
        macs: multiply-accumulates of one image under the mask.
        macs_dense: those of the dense network.
        parameters_shrunk: what is left where channels that the mask empties are cut out.
        seconds_per_batch: measured time of the network that runs under this mask.
        ratio: share of the channels or weights that were to go.
        draw_epoch: epochs of dense training before its mask was drawn.
        training_flops: operations of all training that led to it.
        training_flops_share: those over the operations of one dense training.
    """

    branch: str
    level: int
    seed: int
    sparsity: float
    sparsity_total: float | None = None
    val_accuracy: float | None = None
    test_accuracy: float | None = None
    val_accuracy_pruned: float | None = None
    test_accuracy_pruned: float | None = None
    val_accuracy_balanced: float | None = None
    test_accuracy_balanced: float | None = None
    val_accuracy_top5: float | None = None
    test_accuracy_top5: float | None = None
    val_loss: float | None = None
    test_loss: float | None = None
    train_loss: float | None = None
    epochs: float | None = None
    seconds: float | None = None
    cached: bool = False
    stage: str = ""
    ticket: str | None = None
    layer_sparsity: Mapping[str, float] = dataclasses.field(default_factory=dict)
    case: Mapping[str, float] = dataclasses.field(default_factory=dict)
    parameters: float | None = None
    macs: float | None = None
    macs_dense: float | None = None
    parameters_shrunk: float | None = None
    seconds_per_batch: float | None = None
    ratio: float | None = None
    draw_epoch: float | None = None
    training_flops: float | None = None
    training_flops_share: float | None = None

    @property
    def remaining(self) -> float:
        """Kept share of the prunable weights, in [0, 1]."""
        return 1.0 - self.sparsity


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One point of a learning curve; a number that is missing, or not finite, is None."""

    branch: str
    level: int
    seed: int
    epoch: float
    train_loss: float | None = None
    train_accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    case: Mapping[str, float] = dataclasses.field(default_factory=dict)


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
    epochs: tuple[Epoch, ...] = ()
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    changed: tuple[str, ...] = ()
    intact: bool = False

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
        """A list of the summary, such as `correlation`; empty where it is missing.

        Raises:
            JaxticketError: it is no list of objects.
        """
        value = self.summary.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
            raise JaxticketError(f"summary.json: {name} is not a list of objects; run the experiment's command again")
        return value

    def parsed(self, name: str, read: Callable[[Mapping[str, Any]], _T]) -> list[_T]:
        """`entries`, each as `read` makes it.

        Raises:
            JaxticketError: there is an entry that `read` cannot make anything of.
        """
        return [checked(lambda entry=entry: read(entry), f"{name}[{i}]") for i, entry in enumerate(self.entries(name))]

    @property
    def complete(self) -> bool:
        """Whether the experiment came to its end."""
        return bool(self.summary.get("complete", True))


def read_study(folder: Path) -> Study:
    """Reads `summary.json`, and `metrics.jsonl` and `config.json` where they exist.

    Raises:
        JaxticketError: the folder has no summary, or a file in it is not what an experiment writes.
    """
    path = folder / "summary.json"
    if not path.is_file():
        raise JaxticketError(
            f"{path}: not found; a report is made from the folder of an experiment, WORKDIR/<name>-<hash>"
        )
    summary = _read_object(path)
    whole = _storage().unseal(summary)
    files = summary.pop("files", None)
    stated: Mapping[str, Any] = files if isinstance(files, Mapping) else {}
    has_config = (folder / "config.json").is_file()
    config = _read_object(folder / "config.json") if has_config else {}
    epochs = _read_epochs(folder / "metrics.jsonl")
    complete = bool(summary.get("complete", True))
    checks = {
        "summary.json": whole is True or (whole is None and files is None),
        "metrics.jsonl": _is_as_stated(folder / "metrics.jsonl", stated.get("metrics.jsonl"), may_go_on=not complete),
        "config.json": _is_as_stated(folder / "config.json", stated.get("config.json")),
    }
    changed = tuple(name for name, right in checks.items() if not right)
    intact = whole is True and not changed
    return Study(summary, rows_of(summary, str(path)), epochs, config, changed, intact)


def _is_as_stated(path: Path, stated: Any, *, may_go_on: bool = False) -> bool:
    """Whether a file has the checksum that the summary states; of one that may go on, its beginning."""
    if not isinstance(stated, Mapping):
        return True
    data = _storage().read_bytes(path) if path.is_file() else b""
    size = stated.get("size", len(data))
    if not isinstance(size, int) or size > len(data) or (size < len(data) and not may_go_on):
        return False
    return hashlib.sha256(data[:size]).hexdigest() == stated.get("sha256")


def rows_of(summary: Mapping[str, Any], where: str = "summary.json") -> tuple[Row, ...]:
    """The rows of a summary.

    Args:
        summary: the content of `summary.json`.
        where: its name, for messages.

    Raises:
        JaxticketError: a row without branch, level, seed or sparsity.
    """
    rows = summary.get("rows", [])
    if not isinstance(rows, list):
        raise JaxticketError(f"{where}: rows is {kind_of(rows)}; must be a list of objects")
    return tuple(_row(row, f"{where}: rows[{i}]") for i, row in enumerate(rows))


def checked(read: Callable[[], _T], where: str) -> _T:
    """What `read` returns.

    Args:
        read: takes a part of the summary apart.
        where: that part, for the message.

    Raises:
        JaxticketError: the part is not what the experiment writes.
    """
    try:
        return read()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise JaxticketError(
            f"summary.json: {where} is not what it should be ({error!r}); run the experiment's command again"
        ) from error


def number(value: Any) -> float | None:
    """A finite number, or None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _row(value: Any, where: str) -> Row:
    branch, level, seed = _key(value, where)
    sparsity = number(value.get("sparsity"))
    if sparsity is None or not 0 <= sparsity <= 1:
        raise JaxticketError(f"{where}: sparsity is {value.get('sparsity')!r}; must be a number in [0, 1]")
    layers = value.get("layer_sparsity")
    layers = layers if isinstance(layers, Mapping) else {}
    ticket = value.get("ticket")
    return Row(
        branch=branch,
        level=level,
        seed=seed,
        sparsity=sparsity,
        sparsity_total=number(value.get("sparsity_total")),
        **{name: number(value.get(name)) for name in MEASURED},
        train_loss=number(value.get("train_loss")),
        epochs=number(value.get("epochs")),
        seconds=number(value.get("seconds")),
        cached=bool(value.get("cached")),
        stage=str(value.get("stage") or ""),
        ticket=str(ticket) if ticket else None,
        layer_sparsity={str(k): found for k, v in layers.items() if (found := number(v)) is not None},
        case=_case(value),
        parameters=number(value.get("parameters")),
        macs=number(value.get("macs")),
        macs_dense=number(value.get("macs_dense")),
        parameters_shrunk=number(value.get("parameters_shrunk")),
        seconds_per_batch=number(value.get("seconds_per_batch")),
        ratio=number(value.get("ratio")),
        draw_epoch=number(value.get("draw_epoch")),
        training_flops=number(value.get("training_flops")),
        training_flops_share=number(value.get("training_flops_share")),
    )


def _read_epochs(path: Path) -> tuple[Epoch, ...]:
    if not path.is_file():
        return ()
    lines = _storage().read_bytes(path).splitlines()
    epochs = []
    for i, line in enumerate(lines):
        where = f"{path}: line {i + 1}"
        try:
            value = _storage().parse_json(line, where)
        except JaxticketError:
            if i == len(lines) - 1:
                break  # A run that was killed may leave half a last line.
            raise
        branch, level, seed = _key(value, where)
        epoch = number(value.get("epoch"))
        if epoch is None:
            raise JaxticketError(f"{where}: epoch is {value.get('epoch')!r}; must be a number")
        names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
        values = {name: number(value.get(name)) for name in names}
        epochs.append(Epoch(branch, level, seed, epoch, **values, case=_case(value)))
    return tuple(epochs)


def _case(value: Mapping[str, Any]) -> dict[str, float]:
    return {name: found for name in CASES if (found := number(value.get(name))) is not None}


def _key(value: Any, where: str) -> tuple[str, int, int]:
    if not isinstance(value, Mapping):
        raise JaxticketError(f"{where}: is {kind_of(value)}; must be an object")
    for name, kind in (("branch", str), ("level", int), ("seed", int)):
        found = value.get(name)
        in_range = 0 <= found < _MANY if isinstance(found, int) else True
        if not isinstance(found, kind) or isinstance(found, bool) or not in_range:
            raise JaxticketError(f"{where}: {name} is {found!r:.80}; must be {_ALLOWED[kind]}")
    # The source of a ticket that was transferred, or the aids of a training: each of them is a branch of its own.
    parts = [value["branch"], *(value[name] for name in ("source", "aids") if isinstance(value.get(name), str))]
    return " ".join(parts), value["level"], value["seed"]


_MANY = 2**31
_ALLOWED = {str: "a string", int: f"a whole number from 0 to {_MANY - 1:,}"}


def _read_object(path: Path) -> dict[str, Any]:
    return _storage().check_fields(_storage().read_json(path), {}, path)
