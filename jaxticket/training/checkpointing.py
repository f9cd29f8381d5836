"""When training is saved, and what of it: one checkpoint holds all the networks that train side by side."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxticket.parallel import processes
from jaxticket.training.state import MetricSums, TrainState, Weights

_SECONDS_BETWEEN_CHECKPOINTS = 60.0


@dataclasses.dataclass
class RunInfo:
    """What is known of one network in training, apart from its arrays; JSON-ready.

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


class Saver:
    """The checkpoints in a folder, opened only when there is something to read or to write; None saves nothing.

    Args:
        folder: where they are.
        note: told in one line what is wrong with them.
    """

    def __init__(self, folder: Path | None, note: Callable[[str], None] = lambda text: None) -> None:
        self._folder = folder
        self._note = note
        self._checkpoints = None
        self._last = time.monotonic()

    def saved_step(self) -> int:
        """The step of what was saved last; -1 where nothing is."""
        if not self._begun():
            return -1
        step = self._open().latest_step()
        return -1 if step is None else step

    def restore(
        self, state: TrainState, sums: MetricSums, best: Weights, infos: Sequence[RunInfo]
    ) -> tuple[TrainState, MetricSums, Weights, list[RunInfo]]:
        """What was saved last; the given where nothing is."""
        if not self._begun():
            return state, sums, best, list(infos)
        found = self._open().restore_latest((state, sums, best))
        if found is None:
            return state, sums, best, list(infos)
        (state, sums, best), saved = found
        return state, sums, best, [RunInfo(**info) for info in saved["runs"]]

    def due(self, epoch: int, every: int) -> bool:
        """Whether a checkpoint should follow this epoch."""
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
