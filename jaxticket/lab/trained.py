"""A finished training run, and the weights that are to be had from it."""

import dataclasses
from typing import Any

from jaxticket.lab.stages.references import MaskRef, Stage, WeightsRef
from jaxticket.training.options import TrainOptions

# How `train.select_checkpoint` calls weights -> how a stage does.
WEIGHTS = {"last": "last", "best_val": "best"}


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished training run.

    Attributes:
        stage: its stage; the content has `history`, `epochs`, `seconds` and, for `last` and `best`, the accuracies; and
            `saved_epochs` where some were to be saved, those that it came to.
        select: which weights are pruned, `last` or `best`.
        start: the weights that it began with, where they are not those that were given.
        untrained: the weights that were given, where nothing was trained and they were only evaluated.
    """

    stage: Stage
    select: str
    start: WeightsRef | None = None
    untrained: WeightsRef | None = None

    @classmethod
    def without_training(cls, stage: Stage, weights: WeightsRef) -> "Trained":
        """Weights that were evaluated as they are, as a training of no epochs.

        The content of the stage, of the evaluation, are scores such as `val_accuracy`, or nothing in a plan.
        """
        if not stage.content:
            return cls(stage, "last", untrained=weights)
        scores = {f"{name}_{key}": value for name in ("last", "best") for key, value in stage.content.items()}
        content = {"history": [], "epochs": 0, "seconds": 0.0, "best_epoch": None, **scores}
        return cls(dataclasses.replace(stage, content=content), "last", untrained=weights)

    @property
    def weights(self) -> WeightsRef:
        """The weights that are pruned."""
        return self.untrained or WeightsRef(self.stage, self.select)

    def reported(self, train: TrainOptions) -> WeightsRef:
        """The weights that the numbers of its row are of."""
        return self.untrained or WeightsRef(self.stage, WEIGHTS[train.reported])

    @property
    def snapshot(self) -> WeightsRef:
        """The weights after the step that was asked for."""
        return WeightsRef(self.stage, "snapshot")

    @property
    def mask(self) -> MaskRef:
        """The mask at the end of a run that changed it."""
        return MaskRef(self.stage)

    def exact(self, epoch: int) -> WeightsRef:
        """The weights after an epoch at which they were saved."""
        return WeightsRef(self.stage, f"exact{epoch}")

    def best_until(self, epoch: int) -> WeightsRef:
        """The best weights of the epochs up to one at which they were saved."""
        return WeightsRef(self.stage, f"best{epoch}")

    def kept(self, name: str) -> WeightsRef:
        """The weights that the monitor kept under a name."""
        return WeightsRef(self.stage, f"kept_{name}")

    def monitored(self) -> dict[str, Any]:
        """What the monitor kept: name -> NumPy array."""
        return self.stage.load("monitor")
