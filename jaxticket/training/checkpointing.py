"""When training is saved, and what of it: one checkpoint holds all the networks that train side by side."""

import dataclasses
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from jaxticket.parallel import processes
from jaxticket.training.state import MetricSums, TrainState, Weights

_SECONDS_BETWEEN_CHECKPOINTS = 60.0


@dataclasses.dataclass
class RunInfo:
    """What is known of one network in training, besides its arrays; JSON-ready.

    Attributes:
        best_accuracy: on the validation split, the best so far.
        best_epoch: when that was, counted from 1; 0 before.
        history: one record per epoch.
        seconds: its share of the training time.
    """

    best_accuracy: float = -1.0
    best_epoch: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    seconds: float = 0.0


class CheckpointPolicy:
    """When to save to a folder of checkpoints, which is opened only when needed; without a folder nothing is saved.

    Args:
        folder: of the checkpoints, or None.
        note: called with one line that says what is wrong with them.
    """

    def __init__(self, folder: Path | None, note: Callable[[str], None] = lambda text: None) -> None:
        self._folder = folder
        self._note = note
        self._checkpoints = None
        self._last = time.monotonic()

    def saved_step(self) -> int:
        """The step of what was saved last; -1 where nothing was."""
        if not self._begun():
            return -1
        step = self._open().latest_step()
        return -1 if step is None else step

    def restore(
        self, state: TrainState, sums: MetricSums, best: Weights, infos: Sequence[RunInfo]
    ) -> tuple[TrainState, MetricSums, Weights, list[RunInfo]]:
        """What was saved last, or the arguments where nothing was."""
        if not self._begun():
            return state, sums, best, list(infos)
        found = self._open().restore_latest((state, sums, best))
        if found is None:
            return state, sums, best, list(infos)
        (state, sums, best), saved = found
        return state, sums, best, [RunInfo(**info) for info in saved["runs"]]

    def due(self, epoch: int, every: int) -> bool:
        """True if a checkpoint is due after this epoch, counted from 1: every so many, or after a minute if 0."""
        if self._folder is None:
            return False
        if every:
            return epoch % every == 0
        return processes.broadcast(time.monotonic() - self._last >= _SECONDS_BETWEEN_CHECKPOINTS)

    def save(
        self, step: int, state: TrainState, sums: MetricSums, best: Weights, infos: Sequence[RunInfo], *, wait: bool
    ) -> None:
        """Saves in the background, or before returning."""
        if self._folder is None:
            return
        self._open().save(step, (state, sums, best), {"runs": [dataclasses.asdict(info) for info in infos]})
        self._last = time.monotonic()
        if wait:
            self.close()

    def close(self) -> None:
        """Waits until everything is on disk."""
        if self._checkpoints is not None:
            self._checkpoints.close()
            self._checkpoints = None

    def _begun(self) -> bool:
        return self._folder is not None and processes.broadcast(self._folder.exists())

    def _open(self) -> Any:
        # Orbax takes a second to import, which a run of a second need not spend.
        from jaxticket.training.checkpoints import Checkpoints

        if self._checkpoints is None:
            assert self._folder is not None
            self._checkpoints = Checkpoints(self._folder, self._note)
        return self._checkpoints


def epoch_saves(metrics: Sequence[float], epochs: Collection[int]) -> dict[str, int]:
    """The epochs whose weights are stored by a run that saves at some of them.

    Args:
        metrics: what is better the higher it is, after every epoch.
        epochs: counted from 1; those that the run did not reach are left out.

    Returns:
        Name -> epoch: `exact<e>` for epoch e, `best<e>` for the best of the first e (the first of equals), and `best`
        and `last` of the whole run.

    Raises:
        ValueError: there was no epoch.

    Example:
        >>> from jaxticket.training import epoch_saves
        >>> epoch_saves([0.1, 0.5, 0.4], epochs=(2,))
        {'exact2': 2, 'best2': 2, 'best': 2, 'last': 3}
    """
    if not metrics:
        raise ValueError("epoch_saves: metrics is empty; it needs the metric of at least one epoch")

    def best(until: int) -> int:
        return max(range(1, until + 1), key=lambda epoch: metrics[epoch - 1])

    saves = {}
    for epoch in sorted(epochs):
        if 1 <= epoch <= len(metrics):
            saves |= {f"exact{epoch}": epoch, f"best{epoch}": best(epoch)}
    return saves | {"best": best(len(metrics)), "last": len(metrics)}
