"""The experiment's own folder: its configuration, rows, learning curves and tickets."""

import contextlib
import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from jaxticket import analysis, storage
from jaxticket.core import paths
from jaxticket.core.errors import ConfigError, TicketError
from jaxticket.core.options import chosen, to_dict
from jaxticket.core.versions import versions
from jaxticket.lab import provenance
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.recorded_run import RecordedRun
from jaxticket.lab.setting import Setting
from jaxticket.parallel import SINGLE, Layout
from jaxticket.ticket import Ticket, load_ticket, save_ticket
from jaxticket.training.progress import Progress, Quiet

_T = TypeVar("_T")
Rows = list[dict[str, Any]]


class Recorder:
    """What an experiment says; this one is that of a plan, and writes nothing.

    Args:
        progress: shows what happens.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self.progress = progress or Quiet()
        self._labels: set[str] = set()

    def add(self, run: RecordedRun) -> None:
        """One trained network: its row, its curve and its ticket.

        Raises:
            ConfigError: there is one of its branch, level, seed and case, which would count twice.
        """
        if run.label in self._labels:
            raise ConfigError(
                f"row {run.label!r} is recorded twice; give one of them another branch or level, or tell them apart by "
                "its case"
            )
        self._labels.add(run.label)

    def note(self, section: str, entry: Any) -> None:
        """Adds an entry to a list of the summary, such as `correlation`; that of a seed is a dict with its `seed`."""

    def remark(self, text: str) -> None:
        """Says what changes how rows must be read, and keeps it, once; of an option, it begins with its name."""
        self.progress.note(text)

    def conclude(self, section: str, conclusion: Callable[[Rows], _T]) -> _T | None:
        """Adds to the summary what follows from all rows so far, and returns it; None in a plan."""

    def compare(
        self, *pairs: analysis.Pair, of: Callable[[Rows], Rows] = list, confidence: float = 0.95
    ) -> list[dict[str, Any]]:
        """Adds to the summary, as `comparisons`, how the treatments differ from their controls; nothing in a plan.

        All comparisons of an experiment are one family and are corrected for each other (see
        `jaxticket.analysis.compare`), so an experiment calls this once, with all its pairs.

        Args:
            pairs: what is compared with what; those that were not trained are left out.
            of: makes from the rows of the summary those that are compared.
            confidence: of each interval, and of all decisions together.

        Returns:
            What was added, for conclusions that rest on it; empty in a plan.
        """
        found = self.conclude(
            "comparisons",
            lambda rows: [dataclasses.asdict(one) for one in analysis.compare(of(rows), pairs, confidence=confidence)],
        )
        return found or []

    def save_array(self, name: str, array: np.ndarray) -> None:
        """Stores an array in the experiment's folder, as `<name>.npy`."""

    @contextlib.contextmanager
    def sorted_by(self, seeds: Sequence[int]) -> Iterator[None]:
        """Brings the rows, entries and curves added in this context into the order of seeds, whatever they came in."""
        yield


class FolderRecorder(Recorder):
    """Writes the folder of one experiment as its rows come in.

    Attributes:
        folder: of the experiment.
        summary: the content of `summary.json`, which has checksums of itself and of the files next to it.
        standing: says how far the run is, JSON-ready; the summary of one that is not complete has it as `progress`.
        recorded: called after each network, when the folder is up to date.
    """

    standing: Callable[[], dict[str, Any]] = staticmethod(dict)
    recorded: Callable[[], None] = staticmethod(lambda: None)

    def __init__(
        self,
        folder: Path,
        experiment: str,
        options: ExperimentOptions,
        config_hash: str,
        command: str,
        layout: Layout = SINGLE,
        stages: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.folder = folder
        self._options = options
        self._sections: dict[str, None] = {"rows": None}  # the lists of the summary, in order
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "experiment": experiment,
            "config": to_dict(options),
            "chosen": chosen(options),
            "config_hash": config_hash,
            "stages": list(stages),
        }
        storage.write_json(folder / "config.json", config)
        storage.write_bytes(folder / "metrics.jsonl", b"")
        self._metrics = hashlib.sha256()
        self._files = {"config.json": {"sha256": storage.checksum(folder / "config.json")}}
        self.summary: dict[str, Any] = {
            "experiment": experiment,
            "name": options.name or experiment,
            "config_hash": config_hash,
            "command": command,
            "commit": provenance.commit(),
            "versions": versions(),
            "device": provenance.device(layout),
            "dataset": None,
            "model": None,
            "complete": False,
            "notes": [],
            "rows": [],
        }

    def describe(self, setting: Setting) -> None:
        """Notes the data set and the network."""
        train, val, test = setting.split_sizes
        self.summary["dataset"] = {
            "name": setting.spec.name,
            "train": train,
            "val": val,
            "test": test,
            "classes": self._options.data.num_classes,
            "image_shape": list(setting.image_shape),
        }
        model = {"name": self._options.model.name, "parameters": setting.parameters, "prunable": None}
        self.summary["model"] = model
        if setting.score.name != "accuracy":
            self.remark(f"train.score: what this run calls accuracy is {setting.score.name}, higher is better")

    def add(self, run: RecordedRun) -> None:
        super().add(run)
        if run.setting.options.model == self._options.model:
            self.summary["model"]["prunable"] = run.mask.statistics["total"]
        row = run.row().to_json()
        rows = self.summary["rows"]
        rows.append(row)
        if run.has_ticket:
            whole = self._options.ticket_weights == "all"
            self._save("tickets", run.label, run.make_ticket(rows, self._options, whole=whole))
        if self._options.keep_trained and not run.aids_stay:
            self._save("trained", run.label, run.make_ticket(rows, self._options, trained=True))
        metrics = self.folder / "metrics.jsonl"
        lines = "".join(json.dumps(epoch) + "\n" for epoch in run.curve()).encode()
        self._metrics.update(lines)
        with storage.naming_errors("write", metrics), metrics.open("ab") as file:
            file.write(lines)
        self._write_summary()
        self.progress.finish(_line(run.label, row))
        self.recorded()

    def note(self, section: str, entry: Any) -> None:
        self._sections[section] = None
        self.summary.setdefault(section, []).append(entry)

    def remark(self, text: str) -> None:
        super().remark(text)
        if text not in self.summary["notes"]:
            self.summary["notes"].append(text)

    def conclude(self, section: str, conclusion: Callable[[Rows], _T]) -> _T:
        self.summary[section] = found = conclusion(self.summary["rows"])
        return found

    def save_array(self, name: str, array: np.ndarray) -> None:
        written = io.BytesIO()
        np.save(written, array, allow_pickle=False)
        storage.write_bytes(self.folder / f"{name}.npy", written.getvalue())

    @contextlib.contextmanager
    def sorted_by(self, seeds: Sequence[int]) -> Iterator[None]:
        position = {seed: index for index, seed in enumerate(seeds)}
        metrics = self.folder / "metrics.jsonl"
        first_line = len(metrics.read_text().splitlines())
        first = {section: len(self.summary[section]) for section in self._sections}
        yield
        for section in self._sections:
            entries, start = self.summary[section], first.get(section, 0)
            entries[start:] = sorted(entries[start:], key=lambda entry: position[entry["seed"]])
        lines = metrics.read_text().splitlines(keepends=True)
        lines[first_line:] = sorted(lines[first_line:], key=lambda line: position[json.loads(line)["seed"]])
        written = "".join(lines).encode()
        self._metrics = hashlib.sha256(written)
        storage.write_bytes(metrics, written)
        self._write_summary()

    def finish(self) -> None:
        """Marks the experiment as complete."""
        self.summary["complete"] = True
        self._write_summary()

    def stop(self) -> None:
        """Notes that the run ends before the experiment is complete."""
        self._write_summary(stopped=True)

    def _write_summary(self, *, stopped: bool = False) -> None:
        """Writes `summary.json` with its own checksum, and those of the files next to it."""
        file, metrics = self.folder / "summary.json", self.folder / "metrics.jsonl"
        with storage.naming_errors("read", metrics):
            stated = {"sha256": self._metrics.hexdigest(), "size": metrics.stat().st_size}
        content = {**self.summary, "files": {**self._files, "metrics.jsonl": stated}}
        if not self.summary["complete"]:
            content["progress"] = {**self.standing(), "stopped": stopped}
        storage.write_bytes(file, storage.checked_json(content, str(file)))

    def _save(self, kind: str, label: str, ticket: Ticket) -> None:
        folder = self.folder / kind / label
        if not _is_saved(folder, ticket):
            save_ticket(folder, ticket)


def _is_saved(folder: Path, ticket: Ticket) -> bool:
    """Whether a folder has this ticket already, perhaps of other versions of the libraries."""
    try:
        found = load_ticket(folder)
    except TicketError:
        return False
    if {**found.meta, "versions": None} != storage.plain({**ticket.meta, "versions": None}, "meta"):
        return False
    ours, theirs = (paths.leaves([one.params, one.mask, one.model_state]) for one in (ticket, found))
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[path], theirs[path]) for path in ours)


def _line(label: str, row: dict[str, Any]) -> str:
    val = "" if row["val_accuracy"] is None else f"  val {row['val_accuracy']:.4f}"
    done = "cached" if row["cached"] else f"{row['seconds']:.1f} s"
    return f"{label:<12} sparsity {row['sparsity']:7.2%}{val}  test {row['test_accuracy']:.4f}  {done}"
