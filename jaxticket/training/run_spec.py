"""What a training run begins with, and what comes of it."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxticket.training.state import Keys, Weights


@dataclasses.dataclass(frozen=True)
class Start:
    """What a network trains from: all in which networks that train side by side may differ.

    Attributes:
        weights: to start from; pruned ones are set to zero.
        mask: path -> bool array, True = kept.
        keys: the streams of the data order and of the augmentation.
        on_snapshot: called with (step, weights) after the steps of snapshots; must have stored the weights when it
            returns, and after a crash may be called again, with equals.
        on_save: called with (epoch, weights, the best so far) after the epochs of saves, in the same way.
        on_keep: called with (name, weights) when the monitor wants weights kept, in the same way.
        label: what the network is called while it trains.
    """

    weights: Weights
    mask: dict[str, Any]
    keys: Keys
    on_snapshot: Callable[[int, Weights], None] | None = None
    on_save: Callable[[int, Weights, Weights], None] | None = None
    on_keep: Callable[[str, Weights], None] | None = None
    label: str = ""


@dataclasses.dataclass(frozen=True)
class Fit:
    """A trained network.

    Attributes:
        last: the weights after the last step.
        best: those of the first epoch with the best validation accuracy; `last` where there is no validation split.
        best_epoch: that epoch, counted from 1.
        history: one record per epoch, JSON-ready.
        seconds: training time in all, interruptions left out; side by side, the network's share of it.
        mask: path -> bool array, as it was in the end.
        monitored: the state of the monitor, and its number of measurements; None where there was none.
    """

    last: Weights
    best: Weights
    best_epoch: int
    history: list[dict[str, Any]]
    seconds: float
    mask: dict[str, Any]
    monitored: tuple[Any, int] | None = None
