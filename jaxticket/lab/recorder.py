"""The experiment's own folder: its configuration, rows, learning curves and tickets."""

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import numpy as np

from jaxticket import storage
from jaxticket.core import masks, paths
from jaxticket.core.errors import TicketError
from jaxticket.core.options import chosen, to_dict
from jaxticket.core.versions import versions
from jaxticket.lab import provenance
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.row import Row
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.lab.trained import WEIGHTS
from jaxticket.parallel import SINGLE, Layout
from jaxticket.ticket import Ticket, load_ticket, save_ticket
from jaxticket.training.scores import named

if TYPE_CHECKING:
    from jaxticket.lab.lab import Lab
    from jaxticket.lab.trained import Trained

_T = TypeVar("_T")

# Of the weights that are reported; a row has each of them.
_SCORES = (*named("val", None), *named("test", None))


class Record:
    """Writes the folder of one experiment as its rows come in.

    Attributes:
        folder: where everything goes.
        summary: the content of `summary.json`, which has checksums of itself and of the files beside it.
    """

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
        self.folder = folder
        self._options = options
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

    def describe(self, lab: "Lab") -> None:
        """Notes the data set and the network."""
        train, val, test = lab.split_sizes
        self.summary["dataset"] = {
            "name": lab.spec.name,
            "train": train,
            "val": val,
            "test": test,
            "classes": self._options.data.num_classes,
            "image_shape": list(lab.image_shape),
        }
        sizes = [leaf.size for leaf in paths.leaves(lab.shapes.params).values()]
        self.summary["model"] = {"name": self._options.model.name, "parameters": sum(sizes), "prunable": None}

    def add(
        self,
        lab: "Lab",
        branch: str,
        level: int,
        seed: int,
        trained: "Trained",
        mask: MaskRef,
        start: WeightsRef,
        *,
        pruned: Mapping[str, Any],
        case: Mapping[str, Any],
        ticket: bool,
        facts: Mapping[str, Any],
    ) -> None:
        """One trained network: its row, its curve and, where it is sparse and wanted, its ticket."""
        content, statistics, reported = trained.stage.content, mask.statistics, lab.options.train.reported
        if lab.options.model == self._options.model:
            self.summary["model"]["prunable"] = statistics["total"]
        label = "-".join([f"{branch}-{level}-{seed}", *(f"{name}{value}" for name, value in case.items())])
        # A network whose aids stayed is none that its mask and the plain network could bring back.
        stays = lab.options.aids.stays
        ticket = ticket and statistics["kept"] < statistics["total"] and not stays
        extra = {"saved_epochs": content.get("saved_epochs", [])} if lab.options.train.save_epochs else {}
        scores = {name: content.get(f"{WEIGHTS[reported]}_{name}") for name in _SCORES}
        row = Row(
            branch,
            level,
            seed,
            **{name: statistics[name] for name in ("sparsity", "sparsity_total", "layer_sparsity", "kept")},
            **{name: content[name] for name in ("epochs", "seconds", "best_epoch")},
            **{name: content[name] for name in ("best_val_accuracy", "best_test_accuracy")},
            **scores,
            val_accuracy_pruned=pruned.get("val_accuracy"),
            test_accuracy_pruned=pruned.get("test_accuracy"),
            train_loss=content["history"][-1]["train_loss"] if content["history"] else None,
            cached=trained.stage.cached,
            stage=trained.stage.id,
            weights=reported,
            ticket=label if ticket else None,
            case=case,
            extra={**extra, **({"permanent_aids": True} if stays else {}), **facts},
        ).to_json()
        self.summary["rows"].append(row)
        if ticket:
            self._save_ticket(lab, label, row, mask, start, case)
        if self._options.keep_trained and not stays:
            self._save_ticket(lab, label, row, mask, trained.weights, case, weights="trained")
        metrics = self.folder / "metrics.jsonl"
        about = {"branch": branch, "level": level, "seed": seed, "stage": row["stage"], **case}
        lines = "".join(json.dumps({**about, **epoch}) + "\n" for epoch in content["history"]).encode()
        self._metrics.update(lines)
        with storage.naming_errors("write", metrics), metrics.open("ab") as file:
            file.write(lines)
        self._write_summary()
        lab.progress.finish(_line(label, row))

    def note(self, section: str, entry: Any) -> None:
        """Adds an entry to a list of the summary."""
        self.summary.setdefault(section, []).append(entry)

    def remark(self, text: str) -> None:
        """Adds to the summary, once, what readers of its rows must know; of an option, it begins with its name."""
        if text not in self.summary["notes"]:
            self.summary["notes"].append(text)

    def conclude(self, section: str, conclusion: Callable[[list[dict[str, Any]]], _T]) -> _T:
        """Adds what follows from all rows so far, and returns it."""
        self.summary[section] = found = conclusion(self.summary["rows"])
        return found

    def save_array(self, name: str, array: np.ndarray) -> None:
        """Stores an array as `<name>.npy`."""
        written = io.BytesIO()
        np.save(written, array, allow_pickle=False)
        storage.write_bytes(self.folder / f"{name}.npy", written.getvalue())

    @contextlib.contextmanager
    def sorted_by(self, seeds: Sequence[int]) -> Iterator[None]:
        """Brings the rows and curves added in this context into the order of seeds, whatever they came in."""
        place = {seed: index for index, seed in enumerate(seeds)}
        rows, metrics = self.summary["rows"], self.folder / "metrics.jsonl"
        first_row, first_line = len(rows), len(metrics.read_text().splitlines())
        yield
        rows[first_row:] = sorted(rows[first_row:], key=lambda row: place[row["seed"]])
        lines = metrics.read_text().splitlines(keepends=True)
        lines[first_line:] = sorted(lines[first_line:], key=lambda line: place[json.loads(line)["seed"]])
        written = "".join(lines).encode()
        self._metrics = hashlib.sha256(written)
        storage.write_bytes(metrics, written)
        self._write_summary()

    def finish(self) -> None:
        """Marks the experiment as complete."""
        self.summary["complete"] = True
        self._write_summary()

    def _write_summary(self) -> None:
        """Writes `summary.json` with its own checksum, and those of the files beside it."""
        file, metrics = self.folder / "summary.json", self.folder / "metrics.jsonl"
        with storage.naming_errors("read", metrics):
            stated = {"sha256": self._metrics.hexdigest(), "size": metrics.stat().st_size}
        content = {**self.summary, "files": {**self._files, "metrics.jsonl": stated}}
        storage.write_bytes(file, storage.checked_json(content, str(file)))

    def _save_ticket(
        self,
        lab: "Lab",
        label: str,
        row: dict[str, Any],
        mask: MaskRef,
        start: WeightsRef,
        case: Mapping[str, Any],
        *,
        weights: str = "rewind",
    ) -> None:
        folder = self.folder / {"rewind": "tickets", "trained": "trained"}[weights] / label
        whole = weights == "rewind" and self._options.ticket_weights == "all"
        meta = {
            "label": label,
            "weights": weights,
            "start": start.key,
            "mask": mask.key,
            "model": {
                "name": lab.options.model.name,
                "options": lab.options.model.options,
                "num_classes": lab.options.data.num_classes,
                "image_shape": list(lab.image_shape),
            },
            "dataset": lab.spec.name,
            "config": chosen(self._options),
            "history": [
                {name: past[name] for name in ("branch", "level", "sparsity", "test_accuracy", "val_accuracy")}
                for past in self.summary["rows"]
                if all(past.get(name) == row[name] for name in ("seed", *case))
            ],
            "sparsity": row["sparsity"],
            **({"case": dict(case)} if case else {}),
            **({"removed": True} if whole else {}),
            "versions": self.summary["versions"],
        }
        stored, kept = start.load(), mask.load()
        params = stored.params if whole else jax.tree.map(np.asarray, masks.apply_mask(stored.params, kept))
        ticket = Ticket(params, kept, stored.model_state, meta)
        if not _is_saved(folder, ticket):
            save_ticket(folder, ticket)


def _is_saved(folder: Path, ticket: Ticket) -> bool:
    """Whether a folder has this ticket already, perhaps of other versions of the libraries."""
    try:
        found = load_ticket(folder)
    except TicketError:
        return False
    meta = storage.plain({**ticket.meta, "versions": None}, "meta")
    if {**found.meta, "versions": None} != meta:
        return False
    pairs = [(ticket.params, found.params), (ticket.mask, found.mask), (ticket.model_state, found.model_state)]
    leaves = [(paths.leaves(ours), paths.leaves(theirs)) for ours, theirs in pairs]
    return all(
        ours.keys() == theirs.keys() and all(np.array_equal(ours[path], theirs[path]) for path in ours)
        for ours, theirs in leaves
    )


def _line(label: str, row: dict[str, Any]) -> str:
    val = "" if row["val_accuracy"] is None else f"  val {row['val_accuracy']:.4f}"
    done = "cached" if row["cached"] else f"{row['seconds']:.1f} s"
    return f"{label:<12} sparsity {row['sparsity']:7.2%}{val}  test {row['test_accuracy']:.4f}  {done}"
