"""Networks from their start to their last epoch, through crashes and interruptions, always to the same bits.

There is one loop. It trains any number of networks in lockstep, each as if it were alone; usually there is only one.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax

from jaxticket.training.batches import Batch, EpochData
from jaxticket.training.checkpointing import CheckpointPolicy, RunInfo
from jaxticket.training.early_stopping import out_of_patience
from jaxticket.training.epoch_end import add_records, mean_record, refuse_non_finite, with_factors
from jaxticket.training.interrupts import InterruptedRun, Interrupts
from jaxticket.training.progress import Progress, Quiet
from jaxticket.training.run_spec import RunResult, RunSpec
from jaxticket.training.state import MetricSums, Weights
from jaxticket.training.trainer import Trainer


def train_runs(
    trainer: Trainer,
    specs: Sequence[RunSpec],
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    interrupts: Interrupts | None = None,
) -> list[RunResult]:
    """Trains networks in lockstep until the trainer's duration is over, or one alone until it is stopped early.

    Args:
        trainer: of a layout that takes as many networks: `trainer.on(layout)`.
        specs: one for each network; what they have in common (`RunSpec.common`) is read from the first.
        folder: of the checkpoints; what is found there is continued. None makes none.
        progress: shows what happens.
        interrupts: asked between dispatches whether to save and stop.

    Returns:
        The trained networks, in the order of `specs`.

    Raises:
        TrainingError: a loss is no longer finite.
        InterruptedRun: a stop was asked for; everything is saved in `folder`.
        ValueError: several networks, of which each might end early.

    Example:
        >>> from jaxticket import data, training
        >>> def network(params, state, images, *, train):
        ...     return images.reshape(len(images), -1) @ params["head"]["kernel"], state
        >>> trainer = training.Trainer(network, data.load("digits"), training.TrainOptions(epochs=1))
        >>> weights = training.Weights({"head": {"kernel": np.zeros((64, 10), np.float32)}}, {})
        >>> keys = training.Keys(order=jax.random.key(0), augment=jax.random.key(1))
        >>> spec = training.RunSpec(weights, {"head/kernel": np.ones((64, 10), bool)}, keys)
        >>> [result] = training.train_runs(trainer, [spec])
        >>> len(result.history), result.last.params["head"]["kernel"].shape
        (1, (64, 10))
    """
    monitor = specs[0].monitor
    if len(specs) > 1 and (trainer.options.patience or (monitor and monitor.may_stop)):
        raise ValueError(f"{len(specs)} networks side by side: what may end early is trained alone")
    return _Loop(trainer, specs, folder, progress or Quiet(), interrupts or Interrupts()).run()


class _Loop:
    """Networks in training: their stacked state, and what happens after which step."""

    def __init__(
        self,
        trainer: Trainer,
        specs: Sequence[RunSpec],
        folder: Path | None,
        progress: Progress,
        interrupts: Interrupts,
    ) -> None:
        self.trainer, self.specs, self.common = trainer, specs, specs[0]
        self.progress, self.interrupts = progress, interrupts
        self.labels = [spec.label for spec in specs]
        self.layout, self.total = trainer.layout, trainer.duration.total_steps
        self.order_key = self.layout.stack([spec.keys.order for spec in specs])
        self.checkpoints, aid_end = CheckpointPolicy(folder, progress.note), trainer.aid_end
        state, sums = trainer.begin(specs), self._zero_sums()
        if aid_end is not None and self.checkpoints.saved_step() >= aid_end:
            state = dataclasses.replace(state, aid=None)
        restored = self.checkpoints.restore(state, sums, trainer.copy(state), [RunInfo() for _ in specs])
        self.state, self.sums, self.best, self.infos = restored
        self.step = int(self.layout.fetch(self.state.step)[0])
        self.over = False
        self.begun, self.offset = time.monotonic(), self.infos[0].seconds
        update = self.common.mask_update
        self.updates = update.steps(self.total) if update else range(0)
        self.measurements = trainer.measurements(self.common)
        # No weights count as the best before the mask is settled and the aid has ended.
        self.settled = max((*self.updates, aid_end or 0))
        events = {self.common.snapshot_step, *self.updates, *self.measurements, aid_end or 0}
        self.stops = sorted({step for step in events if step > self.step} | {self.total})

    def run(self) -> list[RunResult]:
        """Trains to the end."""
        first, last = self.labels[0], self.labels[-1]
        label = first if len(self.labels) == 1 else f"{first} to {last}"
        self.progress.start(label, steps=self.total, done=self.step, networks=len(self.specs))
        try:
            while self.step < self.total and not self.over:
                self._train_epoch()
                self._end_epoch()
        finally:
            self.checkpoints.close()
            self.interrupts.holding = False
        return self._results()

    def _train_epoch(self) -> None:
        """The steps of an epoch, or the rest of them."""
        trainer, per_epoch = self.trainer, self.trainer.duration.steps_per_epoch
        chunk = trainer.steps_per_dispatch(self.state.params)
        epoch, position = divmod(self.step, per_epoch)
        data = trainer.data.epoch(self.order_key, epoch, position)
        end, begun, first_step = min((epoch + 1) * per_epoch, self.total), time.monotonic(), self.step
        while self.step < end and not self.over:
            next_stop = next(step for step in self.stops if step > self.step)
            count = min(chunk, end - self.step, next_stop - self.step)
            before = self.sums
            self.state, self.sums = trainer.run(self.state, self.sums, data, count, self.common.mask_update)
            self.step += count
            self.interrupts.holding = True
            # One call of run-ahead keeps the device busy and lets a stop be noticed soon.
            jax.block_until_ready(before.loss)
            self._act(data)
            images = (self.step - first_step) * trainer.options.batch_size * len(self.specs)
            self.progress.advance(self.step, images_per_second=images / (time.monotonic() - begun))
            if self.interrupts.requested and self.step < end and not self.over:
                self._check_and_note_time()
                self._save(wait=True)
                raise InterruptedRun

    def _act(self, data: EpochData | Iterator[Batch]) -> None:
        """What is due after this step: the mask changes, the aid ends, weights are stored, the monitor measures."""
        trainer, common = self.trainer, self.common
        if common.mask_update and self.step in self.updates:
            refuse_non_finite(trainer, self.state, self.sums, self.labels)
            self.state = trainer.update_mask(self.state, common.mask_update, data)
        if self.step == trainer.aid_end:
            self.state = dataclasses.replace(self.state, aid=None)
        if self.step == common.snapshot_step:
            self._store(trainer.copy(self.state, averaged=False), lambda _: ("snapshot",))  # training goes on from it
        if common.monitor and self.step in self.measurements:
            monitor, count = common.monitor, self.measurements.index(self.step) + 1
            self.state = trainer.update_monitor(self.state, monitor, count - 1)
            states = self.layout.fetch(self.state.monitor_state)
            names = [tuple(f"kept_{name}" for name in monitor.keep(state, count)) for state in states]
            if any(names):
                self._store(trainer.copy(self.state), lambda index: names[index])
            self.over = monitor.may_stop and monitor.stop(states[0], count)

    def _end_epoch(self) -> None:
        """Evaluates and records the epoch, keeps the best weights, and saves or stops where that is due."""
        trainer, options = self.trainer, self.trainer.options
        self._check_and_note_time()
        per_epoch = trainer.duration.steps_per_epoch
        epoch, missing = -(-self.step // per_epoch), -self.step % per_epoch
        scores = [None] * len(self.specs)
        if self.over or self.step == self.total or epoch % options.eval_epochs == 0:
            scores = trainer.evaluate_each(trainer.weights(self.state), "val")
        may_be_best = self.step >= self.settled
        better = add_records(trainer, self.sums, scores, self.infos, step=self.step, may_be_best=may_be_best)
        self.best = trainer.better_of(self.best, self.state, better)
        self.progress.epoch(mean_record([info.history[-1] for info in self.infos]))
        if epoch in self.common.save_epochs and not missing:
            weights = trainer.copy(self.state)
            self._store(weights, lambda _: (f"exact{epoch}",))
            self._store(weights, lambda index: () if self.infos[index].best_epoch else (f"best{epoch}",))
            self._store(self.best, lambda index: (f"best{epoch}",) if self.infos[index].best_epoch else ())
        self.state = with_factors(trainer, self.state, self.infos)
        self.sums = self._zero_sums()
        if self.state.aid is None or trainer.aid_end is None:  # else the losses are not yet those of the network
            self.over = self.over or any(out_of_patience(options, info.history) for info in self.infos)
        if self.step < self.total and not self.over:
            asked = self.interrupts.requested
            if asked or self.checkpoints.due(epoch, options.checkpoint_epochs):
                self._save(wait=asked)
            if asked:
                raise InterruptedRun

    def _zero_sums(self) -> MetricSums:
        return self.trainer.zero_sums(len(self.specs), self.common.mask_update)

    def _check_and_note_time(self) -> None:
        refuse_non_finite(self.trainer, self.state, self.sums, self.labels)
        share = (time.monotonic() - self.begun) / len(self.specs)
        for info in self.infos:
            info.seconds = self.offset + share

    def _save(self, *, wait: bool) -> None:
        self.checkpoints.save(self.step, self.state, self.sums, self.best, self.infos, wait=wait)

    def _store(self, weights: Weights, names_of: Callable[[int], Sequence[str]]) -> None:
        """Stores the weights of each network under its names."""
        for index, (spec, own) in enumerate(zip(self.specs, self.layout.gather(weights), strict=True)):
            for name in names_of(index):
                spec.store(name, own)

    def _results(self) -> list[RunResult]:
        measured = sum(step <= self.step for step in self.measurements)
        arrays = (self.trainer.weights(self.state), self.best, self.state.mask, self.state.monitor_state)
        results = []
        for info, (last, best, mask, monitor_state) in zip(self.infos, self.layout.gather(arrays), strict=True):
            best, epoch = (best, info.best_epoch) if info.best_epoch else (last, info.history[-1]["epoch"])
            results.append(RunResult(last, best, epoch, info.history, info.seconds, mask, monitor_state, measured))
        return results
