"""When a validation loss that no longer falls ends a training run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxticket.training.options import TrainOptions


class EarlyStopping:
    """Counts the evaluations since the lowest loss.

    Unlike `flax.training.early_stopping`, a loss that is NaN is never the lowest, not even the first one.

    Args:
        patience: how many in a row without a lower loss end the run; 0 never does.

    Example:
        >>> from jaxticket.training import EarlyStopping
        >>> stopping = EarlyStopping(patience=2)
        >>> [stopping.update(loss) for loss in (0.9, 0.5, 0.6, 0.5)]
        [False, False, False, True]
    """

    def __init__(self, patience: int) -> None:
        if patience < 0:
            raise ValueError(f"patience={patience}: must be at least 0")
        self.patience = patience
        self.lowest = math.inf
        self.waited = 0

    def update(self, loss: float) -> bool:
        """Takes the next loss; True when it is time to stop. NaN is not lower."""
        if loss < self.lowest:
            self.lowest, self.waited = loss, 0
        else:
            self.waited += 1
        return 0 < self.patience <= self.waited


def out_of_patience(options: TrainOptions, history: Sequence[Mapping[str, Any]]) -> bool:
    """True when the validation loss has not improved for `options.patience` evaluations.

    Args:
        options: of the training; a patience of 0 never ends.
        history: a record per epoch; those without `val_loss` had no evaluation.
    """
    stopping = EarlyStopping(options.patience)
    losses = [record["val_loss"] for record in history if record.get("val_loss") is not None]
    return any(stopping.update(loss) for loss in losses)
