"""A trained network as it is recorded: its row, its curve and its ticket."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxticket.core import masks
from jaxticket.core.checks import check_name
from jaxticket.core.options import chosen
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.row import Row, check_added
from jaxticket.lab.setting import Setting
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.lab.trained import WEIGHTS, Trained
from jaxticket.ticket import Ticket
from jaxticket.training.scores import named

# Scores of the weights that are reported; a row has each of them.
_SCORES = (*named("val", None), *named("test", None))
_OF_MASK = ("sparsity", "sparsity_total", "layer_sparsity", "kept")
_OF_TRAINING = ("epochs", "seconds", "best_epoch", "best_val_accuracy", "best_test_accuracy")
_OF_PAST = ("branch", "level", "sparsity", "test_accuracy", "val_accuracy")


@dataclasses.dataclass(frozen=True)
class RecordedRun:
    """A trained network.

    Attributes:
        setting: its network, data and training.
        branch: how its mask and its weights came about.
        level: the pruning round, or the 1-based index into the sparsities; 0 is dense.
        seed: the replicate.
        trained: its training.
        mask: what was kept.
        start: the weights that training began with.
        pruned: scores right after pruning, such as `val_accuracy`; empty where it was not pruned then.
        case: what else tells it from other rows of its branch, such as `{"lr": 0.1}`.
        extra: further columns of its row, JSON-ready.
        ticket: whether its ticket is wanted, False for networks nobody would take away, such as controls.
        measured: the scores of `train.metrics`, among others.
    """

    setting: Setting
    branch: str
    level: int
    seed: int
    trained: Trained
    mask: MaskRef
    start: WeightsRef
    pruned: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    case: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    ticket: bool = True
    measured: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses a branch that is no part of a file name, and facts that would hide other values of the row."""
        check_name("branch", self.branch)
        metrics = [name for name in self.measured if name not in _SCORES]
        check_added(f"facts of {self.branch}-{self.level}-{self.seed}", [*self.case, *self.extra, *metrics])

    @property
    def label(self) -> str:
        """`<branch>-<level>-<seed>`, and what else tells it from others."""
        return "-".join([f"{self.branch}-{self.level}-{self.seed}", *(f"{k}{v}" for k, v in self.case.items())])

    @property
    def aids_stay(self) -> bool:
        """Whether it is another function than the plain network, which mask and weights could not bring back."""
        return self.setting.options.aids.stays

    @property
    def has_ticket(self) -> bool:
        """Whether a ticket is saved: where one is wanted of a sparse, plain network."""
        return self.ticket and self.mask.statistics["kept"] < self.mask.statistics["total"] and not self.aids_stay

    def row(self) -> Row:
        """Its row."""
        content, statistics, train = self.trained.stage.content, self.mask.statistics, self.setting.options.train
        measured: dict[str, Any] = {name: statistics[name] for name in _OF_MASK}
        measured |= {name: content[name] for name in _OF_TRAINING}
        measured |= {name: content.get(f"{WEIGHTS[train.reported]}_{name}") for name in _SCORES}
        metrics = {name: value for name, value in self.measured.items() if name not in _SCORES}
        saved = {"saved_epochs": content.get("saved_epochs", [])} if train.save_epochs else {}
        return Row(
            self.branch,
            self.level,
            self.seed,
            **measured,
            val_accuracy_pruned=self.pruned.get("val_accuracy"),
            test_accuracy_pruned=self.pruned.get("test_accuracy"),
            train_loss=content["history"][-1]["train_loss"] if content["history"] else None,
            cached=self.trained.stage.cached,
            stage=self.trained.stage.id,
            weights=train.reported,
            ticket=self.label if self.has_ticket else None,
            case=self.case,
            extra={**saved, **metrics, **({"permanent_aids": True} if self.aids_stay else {}), **self.extra},
        )

    def curve(self) -> list[dict[str, Any]]:
        """An entry for each epoch of its training, JSON-ready."""
        about = {"branch": self.branch, "level": self.level, "seed": self.seed, "stage": self.trained.stage.id}
        return [{**about, **self.case, **epoch} for epoch in self.trained.stage.content["history"]]

    def make_ticket(
        self,
        rows: Sequence[Mapping[str, Any]],
        experiment: ExperimentOptions,
        *,
        trained: bool = False,
        whole: bool = False,
    ) -> Ticket:
        """Weights under its mask, with what there is to know of them.

        Args:
            rows: of the experiment until now; those of its seed and case are its history.
            experiment: the experiment's options.
            trained: take the trained weights, not those that training began with.
            whole: take the weights that the mask removes too.
        """
        options, case = self.setting.options, dict(self.case)
        weights = self.trained.weights if trained else self.start
        meta = {
            "label": self.label,
            "weights": "trained" if trained else "rewind",
            "start": weights.key,
            "mask": self.mask.key,
            "model": {
                "name": options.model.name,
                "options": options.model.options,
                "num_classes": options.data.num_classes,
                "image_shape": list(self.setting.image_shape),
            },
            "dataset": self.setting.spec.name,
            "config": chosen(experiment),
            "history": [
                {name: past[name] for name in _OF_PAST}
                for past in rows
                if all(past.get(name) == value for name, value in {"seed": self.seed, **case}.items())
            ],
            "sparsity": self.mask.statistics["sparsity"],
            **({"case": case} if case else {}),
            **({"removed": True} if whole else {}),
        }
        stored, kept = weights.load(), self.mask.load()
        params = stored.params if whole else jax.tree.map(np.asarray, masks.apply_mask(stored.params, kept))
        return Ticket(params, kept, stored.model_state, meta)
