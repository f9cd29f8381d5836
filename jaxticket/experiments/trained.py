"""A finished training run, and the weights that are to be had from it."""

import dataclasses
from typing import Any

from jaxticket import storage
from jaxticket.experiments.stages import MaskRef, Stage, WeightsRef


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished training run.

    Attributes:
        stage: its stage; the content has `history`, `epochs`, `seconds` and, for `last` and `best`, the accuracies; and
            `saved_epochs` where some were to be saved, those that it came to.
        select: which weights count, `last` or `best`.
        start: the weights that it began with, where they are not those that were given.
    """

    stage: Stage
    select: str
    start: WeightsRef | None = None

    @property
    def weights(self) -> WeightsRef:
        """The weights that are reported and pruned."""
        return WeightsRef(self.stage, self.select)

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
        """The weights that the watch kept under a name."""
        return WeightsRef(self.stage, f"kept_{name}")

    def watched(self) -> dict[str, Any]:
        """What the watch kept: name -> NumPy array."""
        return storage.load_arrays(self.stage.folder / "watch.safetensors")
