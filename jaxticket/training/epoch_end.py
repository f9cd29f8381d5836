"""What is recorded when an epoch is over, and what the losses so far change."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxticket.core import paths
from jaxticket.core.errors import TrainingError
from jaxticket.training.checkpointing import RunInfo
from jaxticket.training.schedules import learning_rate_factor
from jaxticket.training.scores import Scores, named
from jaxticket.training.state import MetricSums, TrainState
from jaxticket.training.trainer import Trainer


def add_records(
    trainer: Trainer,
    sums: MetricSums,
    scores: Sequence[Scores | None],
    infos: Sequence[RunInfo],
    *,
    step: int,
    may_be_best: bool,
) -> list[bool]:
    """Adds the record of an epoch to the history of each network.

    Args:
        trainer: of the networks.
        sums: over the epoch.
        scores: on the validation split, None where it was not evaluated.
        infos: one for each network, changed in place.
        step: the number of finished steps.
        may_be_best: whether weights of this epoch may count as the best.

    Returns:
        For each network whether its weights are the best so far.
    """
    rate, better = float(trainer.learning_rate(step - 1)), []
    epoch = -(-step // trainer.duration.steps_per_epoch)
    for info, total, score in zip(infos, trainer.layout.fetch(sums), scores, strict=True):
        count = int(total.count)
        objective = {} if total.objective is None else {"train_objective": float(total.objective) / count}
        info.history.append(
            {
                "epoch": epoch,
                "step": step,
                "train_loss": float(total.loss) / count,
                **objective,
                "train_accuracy": None if total.correct is None else float(total.correct) / count,
                **named("val", score),
                "learning_rate": rate * learning_rate_factor(trainer.options, info.history),
                "seconds": round(info.seconds, 3),
            }
        )
        first = not info.best_epoch
        better.append(may_be_best and score is not None and (first or score.accuracy > info.best_accuracy))
        if score is not None and better[-1]:
            info.best_accuracy, info.best_epoch = score.accuracy, epoch
    return better


def with_factors(trainer: Trainer, state: TrainState, infos: Sequence[RunInfo]) -> TrainState:
    """The state with the factors of the learning rate that follow from the losses so far."""
    if state.lr_factor is None:
        return state
    factors = [learning_rate_factor(trainer.options, info.history) for info in infos]
    stacked = trainer.layout.stack([jnp.asarray(one, jnp.float32) for one in factors])
    return dataclasses.replace(state, lr_factor=stacked)


def refuse_non_finite(trainer: Trainer, state: TrainState, sums: MetricSums, labels: Sequence[str]) -> None:
    """Refuses a loss that was not finite.

    Raises:
        TrainingError: naming the network, the step, the learning rate and the largest weights.
    """
    bad_steps = [int(bad) for bad in trainer.layout.fetch(sums.bad_step)]
    if max(bad_steps) < 0:
        return
    which = next(index for index, bad in enumerate(bad_steps) if bad >= 0)
    norms = {
        path: float(jnp.linalg.norm(leaf.astype("float32").ravel()))
        for path, leaf in paths.leaves(trainer.layout.unstack(state.params)[which]).items()
    }
    largest = ", ".join(f"{path} {norm:.3g}" for path, norm in sorted(norms.items(), key=lambda item: -item[1])[:4])
    rate = float(trainer.learning_rate(bad_steps[which]))
    raise TrainingError(
        f"{labels[which] and labels[which] + ': '}the loss is not finite at step {bad_steps[which]} "
        f"(learning rate {rate:.4g}); largest weight norms: {largest}; "
        "lower config.train.lr or add config.train.warmup_epochs"
    )


def mean_record(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The records of one epoch as one; a single one is itself."""
    if len(records) == 1:
        return records[0]
    columns = {name: [record[name] for record in records] for name in records[0]}
    return {
        name: None if None in column else column[0] if isinstance(column[0], int) else float(np.mean(column))
        for name, column in columns.items()
    }
