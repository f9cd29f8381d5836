"""The files of an experiment's folder, read and checked."""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from jaxticket import storage
from jaxticket.core.errors import JaxticketError
from jaxticket.lab.row import Column, identity, number
from jaxticket.report.study import EpochCurves, Study

_CURVES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


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
    whole = storage.unseal(summary)
    files = summary.pop("files", None)
    stated: Mapping[str, Any] = files if isinstance(files, Mapping) else {}
    config, metrics = folder / "config.json", folder / "metrics.jsonl"
    checks = {
        path.name: whole is True or (whole is None and files is None),
        metrics.name: _is_as_stated(metrics, stated.get(metrics.name), may_go_on=not summary.get("complete", True)),
        config.name: _is_as_stated(config, stated.get(config.name)),
    }
    changed = tuple(name for name, right in checks.items() if not right)
    return Study.of(
        summary,
        str(path),
        epochs=_read_epochs(metrics, Study(summary, ()).columns),
        config=_read_object(config) if config.is_file() else {},
        changed=changed,
        intact=whole is True and not changed,
    )


def find_studies(path: Path) -> list[Path]:
    """The folder itself if it is that of an experiment, else the experiments' folders in it, by name.

    Raises:
        JaxticketError: it holds none.
    """
    found = [path] if (path / "summary.json").is_file() else sorted(file.parent for file in path.glob("*/summary.json"))
    if not found:
        raise JaxticketError(
            f"{path}: holds no experiment; give the --workdir of a run, or folders <name>-<hash> in it"
        )
    return found


def _is_as_stated(path: Path, stated: Any, *, may_go_on: bool = False) -> bool:
    """Whether a file has the checksum that the summary states; of one that may go on, its beginning."""
    if not isinstance(stated, Mapping):
        return True
    data = storage.read_bytes(path) if path.is_file() else b""
    size = stated.get("size", len(data))
    if not isinstance(size, int) or size > len(data) or (size < len(data) and not may_go_on):
        return False
    return hashlib.sha256(data[:size]).hexdigest() == stated.get("sha256")


def _read_epochs(path: Path, columns: Collection[Column]) -> tuple[EpochCurves, ...]:
    lines = storage.read_bytes(path).splitlines() if path.is_file() else []
    epochs = []
    for i, line in enumerate(lines):
        where = f"{path}: line {i + 1}"
        try:
            value = storage.parse_json(line, where)
        except JaxticketError:
            if i == len(lines) - 1:
                break  # A run that was killed may leave half a last line.
            raise
        branch, level, seed, case = identity(value, where, columns)
        epoch = number(value.get("epoch"))
        if epoch is None:
            raise JaxticketError(f"{where}: epoch is {value.get('epoch')!r}; must be a number")
        epochs.append(
            EpochCurves(branch, level, seed, epoch, *(number(value.get(name)) for name in _CURVES), case=case)
        )
    return tuple(epochs)


def _read_object(path: Path) -> dict[str, Any]:
    return storage.check_fields(storage.read_json(path), {}, path)
