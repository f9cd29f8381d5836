"""Networks from their start to their last epoch, through crashes and interruptions, always to the same bits.

There is one loop. It trains any number of networks in lockstep, each as if it were alone; usually there is only one.
"""

import dataclasses
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxticket.core import paths
from jaxticket.core.errors import TrainingError
from jaxticket.parallel.layouts import ALONE, Layout
from jaxticket.training.interrupts import InterruptedRun, Interrupts
from jaxticket.training.mask_updates import MaskUpdate
from jaxticket.training.progress import Progress, Quiet
from jaxticket.training.saver import RunInfo, Saver
from jaxticket.training.state import Keys, Sums, TrainState, Weights
from jaxticket.training.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class Start:
    """What a network trains from: all in which networks that train side by side may differ.

    Attributes:
        weights: to start from; pruned ones are set to zero.
        mask: path -> bool array, True = kept.
        keys: the streams of the data order and of the augmentation.
        on_snapshot: called with (step, weights) after the steps of snapshots; must have stored the weights when it
            returns, and after a crash may be called again, with equals.
        label: what the network is called while it trains.
    """

    weights: Weights
    mask: dict[str, Any]
    keys: Keys
    on_snapshot: Callable[[int, Weights], None] | None = None
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
    """

    last: Weights
    best: Weights
    best_epoch: int
    history: list[dict[str, Any]]
    seconds: float
    mask: dict[str, Any]


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
    """Trains one network: `fit_side_by_side` of a single `Start`, whose parts and whose arguments these are.

    Raises:
        TrainingError: the loss is no longer finite.
        InterruptedRun: a stop was asked for; the state is saved in `folder`.
    """
    (trained,) = fit_side_by_side(
        trainer,
        [Start(start, mask, keys, on_snapshot, label)],
        ALONE,
        start_step=start_step,
        snapshot_steps=snapshot_steps,
        mask_update=mask_update,
        folder=folder,
        progress=progress,
        interrupts=interrupts,
    )
    return trained


def fit_side_by_side(
    trainer: Trainer,
    starts: Sequence[Start],
    layout: Layout,
    *,
    start_step: int = 0,
    snapshot_steps: Collection[int] = (),
    mask_update: MaskUpdate | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    interrupts: Interrupts | None = None,
) -> list[Fit]:
    """Trains networks in lockstep until the trainer's duration is over.

    Args:
        trainer: the compiled step and the data.
        starts: one for each network.
        layout: where they are trained; `ALONE` takes one.
        start_step: where the schedule and the data order begin (rewinding with the remaining schedule).
        snapshot_steps: steps after which the snapshots are given away.
        mask_update: how the masks change on the way; until it is done no weights count as the best. None: they stay.
        folder: where checkpoints live; what is found there is continued. None makes none.
        progress: told what happens.
        interrupts: asked between dispatches whether to save and stop.

    Returns:
        The trained networks, in the order of `starts`.

    Raises:
        TrainingError: a loss is no longer finite.
        InterruptedRun: a stop was asked for; everything is saved in `folder`.
    """
    progress = progress or Quiet()
    interrupts = interrupts or Interrupts()
    duration, labels = trainer.duration, [start.label for start in starts]
    state = layout.join([trainer.begin(s.weights, s.mask, s.keys.augment, start_step, mask_update) for s in starts])
    sums = trainer.zero_sums(len(starts), layout)
    order_key = layout.join([start.keys.order for start in starts])
    saver = Saver(folder)
    state, sums, best, infos = saver.restore(state, sums, trainer.copy(state), [RunInfo() for _ in starts])
    step = int(layout.fetch(state.step)[0])
    begun, offset = time.monotonic(), infos[0].seconds

    def note_time() -> None:
        share = (time.monotonic() - begun) / len(starts)
        for info in infos:
            info.seconds = offset + share

    progress.start(_together(labels), steps=duration.total_steps, done=step)
    chunk = trainer.steps_per_dispatch(state.params, layout)
    updates = mask_update.steps(duration.total_steps) if mask_update else range(0)
    settled = max(updates, default=0)
    stops = sorted({s for s in (*snapshot_steps, *updates) if s > step} | {duration.total_steps})
    try:
        while step < duration.total_steps:
            epoch = step // duration.steps_per_epoch
            data = trainer.epoch(order_key, epoch, step % duration.steps_per_epoch, layout)
            epoch_end = min((epoch + 1) * duration.steps_per_epoch, duration.total_steps)
            epoch_begun, first_step = time.monotonic(), step
            while step < epoch_end:
                count = min(chunk, epoch_end - step, next(s for s in stops if s > step) - step)
                before = sums
                state, sums = trainer.run(state, sums, data, count, mask_update, layout)
                step += count
                # One call of run-ahead keeps the device busy and lets a stop be noticed soon.
                jax.block_until_ready(before.loss)
                if mask_update and step in updates:
                    _refuse_non_finite(trainer, state, sums, labels, layout)
                    state = trainer.update_mask(state, mask_update, data, layout)
                if step in snapshot_steps:
                    _give_snapshots(starts, step, trainer.copy(state), layout)
                images = (step - first_step) * trainer.options.batch_size * len(starts)
                progress.advance(step, images_per_second=images / (time.monotonic() - epoch_begun))
                if interrupts.requested and step < epoch_end:
                    _refuse_non_finite(trainer, state, sums, labels, layout)
                    note_time()
                    saver.save(step, state, sums, best, infos, wait=True)
                    raise InterruptedRun
            _refuse_non_finite(trainer, state, sums, labels, layout)
            note_time()
            best = _end_of_epoch(trainer, state, sums, best, infos, epoch + 1, step, settled, layout)
            progress.epoch(_mean([info.history[-1] for info in infos]))
            sums = trainer.zero_sums(len(starts), layout)
            if step < duration.total_steps:
                asked = interrupts.requested
                if asked or saver.due(epoch + 1, trainer.options.checkpoint_epochs):
                    saver.save(step, state, sums, best, infos, wait=asked)
                if asked:
                    raise InterruptedRun
    finally:
        saver.close()
    fits = []
    for info, one, its_best in zip(infos, layout.part(state), layout.part(best), strict=True):
        last = Weights(one.params, one.model_state)
        best_epoch = info.best_epoch or duration.epochs
        fits.append(Fit(last, its_best if info.best_epoch else last, best_epoch, info.history, info.seconds, one.mask))
    return fits


def _end_of_epoch(
    trainer: Trainer,
    state: TrainState,
    sums: Sums,
    best: Weights,
    infos: Sequence[RunInfo],
    epoch: int,
    step: int,
    settled: int,
    layout: Layout,
) -> Weights:
    """Evaluates where due, adds the epoch's record to each history, and returns the best weights."""
    scores: list[Any] = [None] * len(infos)
    if epoch % trainer.options.eval_epochs == 0 or epoch == trainer.duration.epochs:
        weights = Weights(state.params, state.model_state)
        scores = trainer.evaluate_each(weights, "val", len(infos), layout)
    rate = float(trainer.learning_rate(step - 1))
    better = []
    for info, total, score in zip(infos, layout.fetch(sums), scores, strict=True):
        info.history.append(
            {
                "epoch": epoch,
                "step": step,
                "train_loss": float(total.loss) / int(total.count),
                "train_accuracy": int(total.correct) / int(total.count),
                "val_loss": None if score is None else score.loss,
                "val_accuracy": None if score is None else score.accuracy,
                "learning_rate": rate,
                "seconds": round(info.seconds, 3),
            }
        )
        better.append(False)
        if score is not None and score.accuracy > info.best_accuracy and step >= settled:
            info.best_accuracy, info.best_epoch, better[-1] = score.accuracy, epoch, True
    return trainer.better_of(best, state, better, layout)


def _give_snapshots(starts: Sequence[Start], step: int, weights: Weights, layout: Layout) -> None:
    for start, own in zip(starts, layout.part(weights), strict=True):
        if start.on_snapshot is not None:
            start.on_snapshot(step, own)


def _refuse_non_finite(trainer: Trainer, state: TrainState, sums: Sums, labels: Sequence[str], layout: Layout) -> None:
    bad_steps = [int(bad) for bad in layout.fetch(sums.bad_step)]
    if max(bad_steps) < 0:
        return
    which = next(index for index, bad in enumerate(bad_steps) if bad >= 0)
    norms = {
        path: float(jax.numpy.linalg.norm(leaf.astype("float32").ravel()))
        for path, leaf in paths.leaves(layout.part(state.params)[which]).items()
    }
    largest = ", ".join(f"{path} {norm:.3g}" for path, norm in sorted(norms.items(), key=lambda item: -item[1])[:4])
    rate = float(trainer.learning_rate(bad_steps[which]))
    raise TrainingError(
        f"{labels[which] and labels[which] + ': '}the loss is not finite at step {bad_steps[which]} "
        f"(learning rate {rate:.4g}); largest weight norms: {largest}; "
        "lower config.train.lr or add config.train.warmup_epochs"
    )


def _together(labels: Sequence[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{labels[0]} to {labels[-1]}"


def _mean(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The records of one epoch as one; a single one is itself."""
    if len(records) == 1:
        return records[0]
    columns = {name: [record[name] for record in records] for name in records[0]}
    return {
        name: None if None in column else column[0] if isinstance(column[0], int) else float(np.mean(column))
        for name, column in columns.items()
    }
