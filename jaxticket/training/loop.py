"""Networks from their start to their last epoch, through crashes and interruptions, always to the same bits.

There is one loop. It trains any number of networks in lockstep, each as if it were alone; usually there is only one.
"""

import dataclasses
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import jax

from jaxticket.core import paths
from jaxticket.core.errors import TrainingError
from jaxticket.parallel.layouts import SINGLE, Layout
from jaxticket.training.checkpointing import RunInfo, Saver
from jaxticket.training.early_stopping import out_of_patience
from jaxticket.training.epoch_end import end_of_epoch, mean_record, with_factors
from jaxticket.training.interrupts import InterruptedRun, Interrupts
from jaxticket.training.mask_updates import MaskUpdate
from jaxticket.training.monitors import Monitor
from jaxticket.training.progress import Progress, Quiet
from jaxticket.training.run_spec import Fit, Start
from jaxticket.training.state import Keys, MetricSums, TrainState, Weights
from jaxticket.training.trainer import Trainer


def fit(
    trainer: Trainer,
    start: Weights,
    mask: dict[str, Any],
    keys: Keys,
    *,
    start_step: int = 0,
    snapshot_steps: Collection[int] = (),
    on_snapshot: Callable[[int, Weights], None] | None = None,
    save_epochs: Collection[int] = (),
    on_save: Callable[[int, Weights, Weights], None] | None = None,
    on_keep: Callable[[str, Weights], None] | None = None,
    mask_update: MaskUpdate | None = None,
    monitor: Monitor | None = None,
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
        [Start(start, mask, keys, on_snapshot, on_save, on_keep, label)],
        SINGLE,
        start_step=start_step,
        snapshot_steps=snapshot_steps,
        save_epochs=save_epochs,
        mask_update=mask_update,
        monitor=monitor,
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
    save_epochs: Collection[int] = (),
    mask_update: MaskUpdate | None = None,
    monitor: Monitor | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    interrupts: Interrupts | None = None,
) -> list[Fit]:
    """Trains networks in lockstep until the trainer's duration is over, or one alone until it is stopped early.

    Args:
        trainer: the compiled step and the data.
        starts: one for each network.
        layout: where they are trained; `SINGLE` takes one.
        start_step: where the schedule and the data order begin (rewinding with the remaining schedule).
        snapshot_steps: steps after which the snapshots are given away.
        save_epochs: epochs, counted from 1, after which the weights and the best so far are given away; one that is cut
            short by the end of training gives nothing.
        mask_update: how the masks change on the way; until it is done, and until an aid of the trainer has ended, no
            weights count as the best. None: they stay.
        monitor: what looks at the networks on the way.
        folder: where checkpoints live; what is found there is continued. None makes none.
        progress: told what happens.
        interrupts: asked between dispatches whether to save and stop.

    Returns:
        The trained networks, in the order of `starts`.

    Raises:
        TrainingError: a loss is no longer finite.
        InterruptedRun: a stop was asked for; everything is saved in `folder`.
        ValueError: several networks, of which each might end early.
    """
    if len(starts) > 1 and (trainer.options.patience or (monitor and monitor.may_stop)):
        raise ValueError(f"{len(starts)} networks side by side: what may end early is trained alone")
    progress = progress or Quiet()
    interrupts = interrupts or Interrupts()
    duration, labels = trainer.duration, [start.label for start in starts]
    begin = [trainer.begin(s.weights, s.mask, s.keys.augment, start_step, mask_update, monitor) for s in starts]
    state = layout.stack(begin)
    sums = trainer.zero_sums(len(starts), layout, mask_update)
    order_key = layout.stack([start.keys.order for start in starts])
    saver, aid_end = Saver(folder, progress.note), trainer.aid_end
    if aid_end is not None and saver.saved_step() >= aid_end:
        state = dataclasses.replace(state, aid=None)
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
    settled = max((*updates, aid_end or 0))
    looks = trainer.measurements(monitor, start_step)
    events = (*snapshot_steps, *updates, *looks, aid_end or 0)
    stops = sorted({s for s in events if s > step} | {duration.total_steps})
    over = False
    try:
        while step < duration.total_steps and not over:
            epoch = step // duration.steps_per_epoch
            data = trainer.epoch(order_key, epoch, step % duration.steps_per_epoch, layout)
            epoch_end = min((epoch + 1) * duration.steps_per_epoch, duration.total_steps)
            epoch_begun, first_step = time.monotonic(), step
            while step < epoch_end and not over:
                count = min(chunk, epoch_end - step, next(s for s in stops if s > step) - step)
                before = sums
                state, sums = trainer.run(state, sums, data, count, mask_update, layout)
                step += count
                interrupts.holding = True
                # One call of run-ahead keeps the device busy and lets a stop be noticed soon.
                jax.block_until_ready(before.loss)
                if mask_update and step in updates:
                    _refuse_non_finite(trainer, state, sums, labels, layout)
                    state = trainer.update_mask(state, mask_update, data, layout)
                if step == aid_end:
                    state = dataclasses.replace(state, aid=None)
                if step in snapshot_steps:
                    _give_snapshots(starts, step, trainer.copy(state), layout)
                if monitor and step in looks:
                    count = looks.index(step) + 1
                    state = trainer.update_monitor(state, monitor, count - 1, layout)
                    _give_kept(starts, monitor, count, trainer, state, layout)
                    over = monitor.may_stop and monitor.stop(layout.fetch(state.monitor_state)[0], count)
                images = (step - first_step) * trainer.options.batch_size * len(starts)
                progress.advance(step, images_per_second=images / (time.monotonic() - epoch_begun))
                if interrupts.requested and step < epoch_end and not over:
                    _refuse_non_finite(trainer, state, sums, labels, layout)
                    note_time()
                    saver.save(step, state, sums, best, infos, wait=True)
                    raise InterruptedRun
            _refuse_non_finite(trainer, state, sums, labels, layout)
            note_time()
            due = over or step == duration.total_steps or (epoch + 1) % trainer.options.eval_epochs == 0
            best = end_of_epoch(trainer, state, sums, best, infos, epoch + 1, step, settled, due, layout)
            progress.epoch(mean_record([info.history[-1] for info in infos]))
            if epoch + 1 in save_epochs and step == (epoch + 1) * duration.steps_per_epoch:
                _give_saves(starts, infos, epoch + 1, trainer.copy(state), best, layout)
            state = with_factors(trainer, state, infos, layout)
            sums = trainer.zero_sums(len(starts), layout, mask_update)
            if state.aid is None or aid_end is None:  # losses of a network that still leans on its aid say nothing
                over = over or any(out_of_patience(trainer.options, info.history) for info in infos)
            if step < duration.total_steps and not over:
                asked = interrupts.requested
                if asked or saver.due(epoch + 1, trainer.options.checkpoint_epochs):
                    saver.save(step, state, sums, best, infos, wait=asked)
                if asked:
                    raise InterruptedRun
    finally:
        saver.close()
        interrupts.holding = False
    fits = []
    given = layout.gather((trainer.weights(state), best, state.mask, state.monitor_state))
    for info, (last, its_best, its_mask, record) in zip(infos, given, strict=True):
        its_best, best_epoch = (its_best, info.best_epoch) if info.best_epoch else (last, info.history[-1]["epoch"])
        monitored = (record, sum(look <= step for look in looks)) if monitor else None
        fits.append(Fit(last, its_best, best_epoch, info.history, info.seconds, its_mask, monitored))
    return fits


def _give_snapshots(starts: Sequence[Start], step: int, weights: Weights, layout: Layout) -> None:
    for start, own in zip(starts, layout.gather(weights), strict=True):
        if start.on_snapshot is not None:
            start.on_snapshot(step, own)


def _give_kept(
    starts: Sequence[Start], monitor: Monitor, looks: int, trainer: Trainer, state: TrainState, layout: Layout
) -> None:
    names = [monitor.keep(record, looks) for record in layout.fetch(state.monitor_state)]
    if any(names):
        for start, own, its_names in zip(starts, layout.gather(trainer.copy(state)), names, strict=True):
            if start.on_keep is not None:
                for name in its_names:
                    start.on_keep(name, own)


def _give_saves(
    starts: Sequence[Start], infos: Sequence[RunInfo], epoch: int, weights: Weights, best: Weights, layout: Layout
) -> None:
    given = zip(starts, infos, layout.gather(weights), layout.gather(best), strict=True)
    for start, info, own, its_best in given:
        if start.on_save is not None:
            start.on_save(epoch, own, its_best if info.best_epoch else own)


def _refuse_non_finite(
    trainer: Trainer, state: TrainState, sums: MetricSums, labels: Sequence[str], layout: Layout
) -> None:
    bad_steps = [int(bad) for bad in layout.fetch(sums.bad_step)]
    if max(bad_steps) < 0:
        return
    which = next(index for index, bad in enumerate(bad_steps) if bad >= 0)
    norms = {
        path: float(jax.numpy.linalg.norm(leaf.astype("float32").ravel()))
        for path, leaf in paths.leaves(layout.unstack(state.params)[which]).items()
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
