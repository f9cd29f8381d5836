"""One network from its start to its last epoch, through crashes and interruptions, always to the same bits."""

import dataclasses
import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import jax

from jaxticket.core import paths
from jaxticket.core.errors import TrainingError
from jaxticket.training.interrupts import InterruptedRun, Interrupts
from jaxticket.training.mask_updates import MaskUpdate
from jaxticket.training.progress import Progress, Quiet
from jaxticket.training.state import Keys, Sums, TrainState, Weights
from jaxticket.training.trainer import Trainer

_SECONDS_BETWEEN_CHECKPOINTS = 60.0


@dataclasses.dataclass(frozen=True)
class Fit:
    """A trained network.

    Attributes:
        last: the weights after the last step.
        best: those of the first epoch with the best validation accuracy; `last` where there is no validation split.
        best_epoch: that epoch, counted from 1.
        history: one record per epoch, JSON-ready.
        seconds: training time in all, interruptions left out.
        mask: path -> bool array, as it was in the end.
    """

    last: Weights
    best: Weights
    best_epoch: int
    history: list[dict[str, Any]]
    seconds: float
    mask: dict[str, Any]


@dataclasses.dataclass
class _Run:
    """What changes while a network trains, apart from its state."""

    best: Weights
    best_accuracy: float = -1.0
    best_epoch: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    def info(self) -> dict[str, Any]:
        return {
            "best_accuracy": self.best_accuracy,
            "best_epoch": self.best_epoch,
            "history": self.history,
            "seconds": self.seconds,
        }


def fit(
    trainer: Trainer,
    start: Weights,
    mask: dict[str, Any],
    keys: Keys,
    *,
    start_step: int = 0,
    snapshot_steps: Collection[int] = (),
    on_snapshot: Callable[[int, Weights], None] | None = None,
    mask_update: MaskUpdate | None = None,
    folder: Path | None = None,
    label: str = "",
    progress: Progress | None = None,
    interrupts: Interrupts | None = None,
) -> Fit:
    """Trains until the trainer's duration is over.

    Args:
        trainer: the compiled step and the data.
        start: weights to start from; pruned ones are set to zero.
        mask: path -> bool array, True = kept.
        keys: the streams of the data order and of the augmentation.
        start_step: where the schedule and the data order begin (rewinding with the remaining schedule).
        snapshot_steps: steps after which `on_snapshot(step, weights)` is called.
        on_snapshot: must have stored the weights when it returns; after a crash it may be called again, with equals.
        mask_update: how the mask changes on the way; until it is done no weights count as the best. None: it stays.
        folder: where checkpoints live; a run found there is continued. None makes none.
        label: what the network is called while it trains.
        progress: told what happens.
        interrupts: asked between dispatches whether to save and stop.

    Raises:
        TrainingError: the loss is no longer finite.
        InterruptedRun: a stop was asked for; the state is saved in `folder`.
    """
    progress = progress or Quiet()
    interrupts = interrupts or Interrupts()
    duration = trainer.duration
    state, sums = trainer.begin(start, mask, keys.augment, start_step, mask_update), Sums.zero()
    run = _Run(best=trainer.copy(state))
    saver = _Saver(folder)
    state, sums = saver.restore(state, sums, run)
    step = int(state.step)
    begun, offset = time.monotonic(), run.seconds
    progress.start(label, steps=duration.total_steps, done=step)
    chunk = trainer.steps_per_dispatch(state.params)
    updates = mask_update.steps(duration.total_steps) if mask_update else range(0)
    settled = max(updates, default=0)
    stops = sorted({s for s in (*snapshot_steps, *updates) if s > step} | {duration.total_steps})
    try:
        while step < duration.total_steps:
            epoch = step // duration.steps_per_epoch
            data = trainer.epoch(keys.order, epoch, step % duration.steps_per_epoch)
            epoch_end = min((epoch + 1) * duration.steps_per_epoch, duration.total_steps)
            epoch_begun, first_step = time.monotonic(), step
            while step < epoch_end:
                count = min(chunk, epoch_end - step, next(s for s in stops if s > step) - step)
                before = sums
                state, sums = trainer.run(state, sums, data, count, mask_update)
                step += count
                # One call of run-ahead keeps the device busy and lets a stop be noticed soon.
                jax.block_until_ready(before.loss)
                if mask_update and step in updates:
                    _refuse_non_finite(trainer, state, sums)
                    state = trainer.update_mask(state, mask_update, data)
                if step in snapshot_steps and on_snapshot is not None:
                    on_snapshot(step, trainer.copy(state))
                rate = (step - first_step) * trainer.options.batch_size / (time.monotonic() - epoch_begun)
                progress.advance(step, images_per_second=rate)
                if interrupts.requested and step < epoch_end:
                    _refuse_non_finite(trainer, state, sums)
                    run.seconds = offset + time.monotonic() - begun
                    saver.save(step, state, sums, run, wait=True)
                    raise InterruptedRun
            _refuse_non_finite(trainer, state, sums)
            run.seconds = offset + time.monotonic() - begun
            record = _end_of_epoch(trainer, state, sums, run, epoch + 1, step, settled)
            progress.epoch(record)
            sums = Sums.zero()
            if step < duration.total_steps:
                asked = interrupts.requested
                if asked or saver.due(epoch + 1, trainer.options.checkpoint_epochs):
                    saver.save(step, state, sums, run, wait=asked)
                if asked:
                    raise InterruptedRun
    finally:
        saver.close()
    last = Weights(state.params, state.model_state)
    best = run.best if run.best_epoch else last
    return Fit(last, best, run.best_epoch or duration.epochs, run.history, run.seconds, state.mask)


def _end_of_epoch(
    trainer: Trainer, state: TrainState, sums: Sums, run: _Run, epoch: int, step: int, settled: int
) -> dict[str, Any]:
    """Evaluates where due, keeps the best weights, and adds the epoch's record to the history."""
    total = jax.device_get(sums)
    record: dict[str, Any] = {
        "epoch": epoch,
        "step": step,
        "train_loss": float(total.loss) / int(total.count),
        "train_accuracy": int(total.correct) / int(total.count),
        "val_loss": None,
        "val_accuracy": None,
        "learning_rate": float(trainer.learning_rate(step - 1)),
        "seconds": round(run.seconds, 3),
    }
    if epoch % trainer.options.eval_epochs == 0 or epoch == trainer.duration.epochs:
        scores = trainer.evaluate(Weights(state.params, state.model_state), "val")
        if scores is not None:
            record.update(val_loss=scores.loss, val_accuracy=scores.accuracy)
            if scores.accuracy > run.best_accuracy and step >= settled:
                run.best, run.best_accuracy, run.best_epoch = trainer.copy(state), scores.accuracy, epoch
    run.history.append(record)
    return record


def _refuse_non_finite(trainer: Trainer, state: TrainState, sums: Sums) -> None:
    bad_step = int(sums.bad_step)
    if bad_step < 0:
        return
    norms = {
        path: float(jax.numpy.linalg.norm(leaf.astype("float32").ravel()))
        for path, leaf in paths.leaves(state.params).items()
    }
    largest = ", ".join(f"{path} {norm:.3g}" for path, norm in sorted(norms.items(), key=lambda item: -item[1])[:4])
    raise TrainingError(
        f"the loss is not finite at step {bad_step} (learning rate {float(trainer.learning_rate(bad_step)):.4g}); "
        f"largest weight norms: {largest}; lower config.train.lr or add config.train.warmup_epochs"
    )


class _Saver:
    """The checkpoints of a run, opened only when there is something to read or to write."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._checkpoints = None
        self._last = time.monotonic()

    def restore(self, state: TrainState, sums: Sums, run: _Run) -> tuple[TrainState, Sums]:
        """The newest saved state, with `run` brought to its moment; the given one where nothing is saved."""
        if self._folder is None or not self._folder.exists():
            return state, sums
        found = self._open().restore_latest((state, sums, run.best))
        if found is None:
            return state, sums
        (state, sums, run.best), info = found
        run.best_accuracy, run.best_epoch = info["best_accuracy"], info["best_epoch"]
        run.history, run.seconds = info["history"], info["seconds"]
        return state, sums

    def due(self, epoch: int, every: int) -> bool:
        """Whether a checkpoint should follow this epoch."""
        if self._folder is None:
            return False
        if every:
            return epoch % every == 0
        return time.monotonic() - self._last >= _SECONDS_BETWEEN_CHECKPOINTS

    def save(self, step: int, state: TrainState, sums: Sums, run: _Run, *, wait: bool) -> None:
        """Saves in the background, or before returning."""
        if self._folder is None:
            return
        self._open().save(step, (state, sums, run.best), run.info())
        self._last = time.monotonic()
        if wait:
            self.close()

    def close(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.close()
            self._checkpoints = None

    def _open(self) -> Any:
        # Orbax takes a second to import, which a run of a second need not spend.
        from jaxticket.training.checkpoints import Checkpoints

        if self._checkpoints is None:
            assert self._folder is not None
            self._checkpoints = Checkpoints(self._folder)
        return self._checkpoints


def discard_checkpoints(folder: Path) -> None:
    """Removes a finished run's checkpoints."""
    shutil.rmtree(folder, ignore_errors=True)
