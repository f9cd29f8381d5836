"""When a loss that no longer falls ends a training run."""

import math


class EarlyStopping:
    """Counts the evaluations since the lowest loss.

    Args:
        patience: how many in a row without a lower loss end the run; 0 never does.
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
