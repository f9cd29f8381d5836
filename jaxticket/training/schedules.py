"""Learning rate as a function of the step, with milestones and warm-up given in epochs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxticket.training.options import TrainOptions


def learning_rate(
    options: TrainOptions, *, steps_per_epoch: int, total_steps: int
) -> Callable[[jax.Array | int], jax.Array]:
    """The schedule of a run.

    Milestones are absolute: a warm-up does not shift them, and a drop takes effect with the first step of its
    epoch. Cosine falls from the end of the warm-up to the last step. With `lr_every='epoch'` each epoch has the rate of
    its first step, during a warm-up that of its last, as in NVIDIA's recipe for ResNet-50: `lr * (e + 1) / w`, then
    `lr / 2 * (1 + cos(pi (e - w) / (E - w)))` for epoch `e` of `E` and a warm-up of `w`.

    Args:
        options: `lr`, `lr_every`, `schedule`, `milestones`, `gamma` and the warm-up keys are read.
        steps_per_epoch: optimizer steps in an epoch.
        total_steps: optimizer steps in the whole run.

    Returns:
        step (from 0, traced or not) -> float32 scalar.
    """
    warmup_steps = options.warmup_steps or round(options.warmup_epochs * steps_per_epoch)
    if options.schedule == "milestones":
        drops = {round(epoch * steps_per_epoch): options.gamma for epoch in options.milestones}
        base, begin = optax.schedules.piecewise_constant_schedule(options.lr, drops), 0
    elif options.schedule == "cosine":
        falling = max(1, total_steps - warmup_steps)
        base, begin = optax.schedules.cosine_decay_schedule(options.lr, falling), warmup_steps
    else:
        base, begin = optax.schedules.constant_schedule(options.lr), 0

    def schedule(step: jax.Array | int) -> jax.Array:
        # Optax mixes steps with floats; float32 counts steps exactly up to 2**24.
        step = jnp.asarray(step)
        warming = step
        if options.lr_every == "epoch":
            step -= step % steps_per_epoch
            warming = step + steps_per_epoch
        step, warming = step.astype(jnp.float32), warming.astype(jnp.float32)
        rate = jnp.asarray(base(jnp.maximum(step - begin, 0))).astype(jnp.float32)
        if not warmup_steps:
            return rate
        rising = options.warmup_lr + (options.lr - options.warmup_lr) * (warming / warmup_steps)
        return jnp.where(step < warmup_steps, rising, rate)

    return schedule
