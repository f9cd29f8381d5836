"""The specification of a training run, and its result."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxticket.core.types import Mask, PyTree
from jaxticket.training.mask_updates import MaskUpdate
from jaxticket.training.monitors import Monitor
from jaxticket.training.state import Keys, Weights


def _store_nothing(name: str, weights: Weights) -> None:
    del name, weights


@dataclasses.dataclass(frozen=True, eq=False)
class RunSpec:
    """One training run of a network.

    Attributes:
        weights: to start from; pruned ones are set to zero.
        mask: path -> bool array, True = kept.
        keys: the random streams of the data order and of what is random within a step.
        label: what the network is called while it trains.
        start_step: where the schedule and the data order begin (rewinding with the remaining schedule).
        snapshot_step: the step after which the weights are stored as `snapshot`; 0 stores none.
        save_epochs: epochs, counted from 1, after which the weights are stored as `exact<epoch>` and the best so far as
            `best<epoch>`; an epoch that is cut short by the end of training stores nothing.
        mask_update: how the mask changes on the way, None if it does not; until its last update no weights count as
            the best.
        monitor: what is measured on the way; it may have weights stored as `kept_<name>`, and may end the training.
        store: called with (name, weights) for all of these. It must have stored the weights when it returns, and may be
            called again with the same after a crash.

    Example:
        >>> from jaxticket.training import Keys, RunSpec, Weights
        >>> weights = Weights({"head": {"kernel": np.ones((4, 2), np.float32)}}, {})
        >>> keys = Keys(order=jax.random.key(0), augment=jax.random.key(1))
        >>> spec = RunSpec(weights, {"head/kernel": np.ones((4, 2), bool)}, keys, start_step=500)
        >>> spec.start_step, spec.snapshot_step, spec.monitor
        (500, 0, None)
    """

    weights: Weights
    mask: Mask
    keys: Keys
    label: str = ""
    start_step: int = 0
    snapshot_step: int = 0
    save_epochs: tuple[int, ...] = ()
    mask_update: MaskUpdate | None = None
    monitor: Monitor | None = None
    store: Callable[[str, Weights], None] = _store_nothing

    @property
    def common(self) -> tuple[Any, ...]:
        """What the runs that train side by side have in common."""
        return self.start_step, self.snapshot_step, self.save_epochs, self.mask_update, self.monitor


@dataclasses.dataclass(frozen=True, eq=False)
class RunResult:
    """A trained network.

    Attributes:
        last: the weights after the last step.
        best: those of the first epoch with the best validation accuracy; `last` where there is no validation split.
        best_epoch: that epoch, counted from 1.
        history: one record per epoch, JSON-ready.
        seconds: training time in all, interruptions left out; side by side, the network's share of it.
        mask: path -> bool array, as it was in the end.
        monitor_state: the state of the monitor, None where there was none.
        measurements: how often it measured.
    """

    last: Weights
    best: Weights
    best_epoch: int
    history: list[dict[str, Any]]
    seconds: float
    mask: Mask
    monitor_state: PyTree = None
    measurements: int = 0
