"""Learning rate as a function of the step, with milestones and warm-up given in shares of the run or in epochs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxticket.training.options import TrainOptions


def learning_rate(
    options: TrainOptions, *, steps_per_epoch: int, total_steps: int
) -> Callable[[jax.Array | int], jax.Array]:
    """The schedule of a run.

    Milestones are absolute: a warm-up does not shift them, nor the drops of `step`, and a drop takes effect with the
    first step of its epoch. Cosines and triangles begin at the end of the warm-up; those of `cosine` end with the last
    step. `plateau` is constant here, for what the loss does is not known yet: see `plateau_factor`.

    With `lr_update='epoch'` each epoch has the rate of its first step, during a warm-up that of its last, as in
    NVIDIA's recipe for ResNet-50: `lr * (e + 1) / w`, then `lr / 2 * (1 + cos(pi (e - w) / (E - w)))` for epoch `e` of
    `E` and a warm-up of `w`.

    Args:
        options: the keys of the learning rate, its schedule and its warm-up are read.
        steps_per_epoch: optimizer steps in an epoch.
        total_steps: optimizer steps in the whole run.

    Returns:
        step (from 0, traced or not) -> float32 scalar.
    """
    warmup_steps = options.warmup_steps or round(options.warmup_epochs * steps_per_epoch)
    base, begin = _after_warmup(options, steps_per_epoch, total_steps, warmup_steps)

    def schedule(step: jax.Array | int) -> jax.Array:
        # Optax mixes steps with floats; float32 counts steps exactly up to 2**24.
        step = jnp.asarray(step)
        warming = step
        if options.lr_update == "epoch":
            step -= step % steps_per_epoch
            warming = step + steps_per_epoch
        step, warming = step.astype(jnp.float32), warming.astype(jnp.float32)
        rate = jnp.asarray(base(jnp.maximum(step - begin, 0))).astype(jnp.float32)
        if not warmup_steps:
            return rate
        rising = options.warmup_lr + (options.lr - options.warmup_lr) * (warming / warmup_steps)
        return jnp.where(step < warmup_steps, rising, rate)

    return schedule


def _after_warmup(
    options: TrainOptions, steps_per_epoch: int, total_steps: int, warmup_steps: int
) -> tuple[optax.Schedule, int]:
    """The schedule without its warm-up, and the step from which it counts."""
    lr, floor = options.lr, options.min_lr / options.lr
    if options.schedule == "milestones":
        drops = dict.fromkeys(options.milestone_steps(steps_per_epoch, total_steps), options.gamma)
        return optax.schedules.piecewise_constant_schedule(lr, drops), 0
    if options.schedule == "step":
        every = round(options.step_epochs * steps_per_epoch)
        drops = dict.fromkeys(range(every, total_steps, every), options.gamma)
        return optax.schedules.piecewise_constant_schedule(lr, drops), 0
    if options.schedule == "cosine":
        falling = max(1, total_steps - warmup_steps)
        return optax.schedules.cosine_decay_schedule(lr, falling, floor), warmup_steps
    if options.schedule == "cosine_restarts":
        lengths = [round(options.restart_epochs * steps_per_epoch)]
        while sum(lengths) < total_steps - warmup_steps:
            lengths.append(round(lengths[-1] * options.restart_factor))
        cosines = [optax.schedules.cosine_decay_schedule(lr, length, floor) for length in lengths]
        restarts = [sum(lengths[:count]) for count in range(1, len(lengths))]
        return optax.schedules.join_schedules(cosines, restarts), warmup_steps
    if options.schedule == "cyclic":
        up, down = (round(e * steps_per_epoch) for e in (options.cycle_up_epochs, options.cycle_down_epochs))
        return _triangles(options.min_lr, lr, up, down), warmup_steps
    return optax.schedules.constant_schedule(lr), 0


def _triangles(low: float, high: float, up: int, down: int) -> optax.Schedule:
    """From `low` to `high` in `up` steps and back in `down`, again and again."""

    def schedule(step: Any) -> jax.Array:
        position = jnp.mod(step, up + down)
        return low + (high - low) * jnp.minimum(position / up, (up + down - position) / down)

    return schedule


def plateau_factor(options: TrainOptions, losses: Sequence[float]) -> float:
    """What `plateau` multiplies `lr` with after evaluations that gave these losses, the newest last.

    A loss counts as lower when it is so by a ten-thousandth of the lowest. After `plateau_patience` that were not,
    the next one that is not multiplies the learning rate by `gamma`, and the count begins anew. This is PyTorch's rule.
    """
    rate, lowest, waited = options.lr, float("inf"), 0
    for loss in losses:
        if loss < lowest * (1 - 1e-4):
            lowest, waited = loss, 0
        else:
            waited += 1
        if waited > options.plateau_patience:
            rate, waited = max(rate * options.gamma, options.min_lr), 0
    return rate / options.lr


def learning_rate_factor(options: TrainOptions, history: Sequence[Mapping[str, Any]]) -> float:
    """The factor of the learning rate from now on, beyond its schedule: below 1 after a plateau, else 1.

    Args:
        options: of the training.
        history: a record per epoch; the validation loss counts, without one the training objective.
    """
    if options.schedule != "plateau":
        return 1.0
    for name in ("val_loss", "train_objective", "train_loss"):
        losses = [record[name] for record in history if record.get(name) is not None]
        if losses:
            return plateau_factor(options, losses)
    return 1.0
