"""What happens when an epoch is over: evaluation, the record of the epoch, the best weights, the learning rate."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxticket.parallel.layouts import Layout
from jaxticket.training.checkpointing import RunInfo
from jaxticket.training.schedules import learning_rate_factor
from jaxticket.training.scores import named
from jaxticket.training.state import MetricSums, TrainState, Weights
from jaxticket.training.trainer import Trainer


def end_of_epoch(
    trainer: Trainer,
    state: TrainState,
    sums: MetricSums,
    best: Weights,
    infos: Sequence[RunInfo],
    epoch: int,
    step: int,
    settled: int,
    due: bool,
    layout: Layout,
) -> Weights:
    """Evaluates where `due`, adds the epoch's record to each history, and returns the best weights.

    Args:
        trainer: of the networks.
        state: after the epoch.
        sums: over the epoch.
        best: the best weights before it.
        infos: one for each network, changed in place.
        epoch: its number, from 1.
        step: the number of finished steps.
        settled: the number of steps before which no weights count as the best.
        due: whether there is an evaluation.
        layout: of the networks.
    """
    scores: list[Any] = [None] * len(infos)
    if due:
        scores = trainer.evaluate_each(trainer.weights(state), "val", len(infos), layout)
    rate = float(trainer.learning_rate(step - 1))
    better = []
    for info, total, score in zip(infos, layout.fetch(sums), scores, strict=True):
        info.history.append(
            {
                "epoch": epoch,
                "step": step,
                "train_loss": float(total.loss) / int(total.count),
                **({} if total.objective is None else {"train_objective": float(total.objective) / int(total.count)}),
                "train_accuracy": int(total.correct) / int(total.count),
                **named("val", score),
                "learning_rate": rate * learning_rate_factor(trainer.options, info.history),
                "seconds": round(info.seconds, 3),
            }
        )
        better.append(False)
        if score is not None and score.accuracy > info.best_accuracy and step >= settled:
            info.best_accuracy, info.best_epoch, better[-1] = score.accuracy, epoch, True
    return trainer.better_of(best, state, better, layout)


def with_factors(trainer: Trainer, state: TrainState, infos: Sequence[RunInfo], layout: Layout) -> TrainState:
    """The state with the learning rates that the losses so far ask for."""
    if state.lr_factor is None:
        return state
    factors = [learning_rate_factor(trainer.options, info.history) for info in infos]
    return dataclasses.replace(state, lr_factor=layout.stack([jnp.asarray(one, jnp.float32) for one in factors]))


def mean_record(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The records of one epoch as one; a single one is itself."""
    if len(records) == 1:
        return records[0]
    columns = {name: [record[name] for record in records] for name in records[0]}
    return {
        name: None if None in column else column[0] if isinstance(column[0], int) else float(np.mean(column))
        for name, column in columns.items()
    }
