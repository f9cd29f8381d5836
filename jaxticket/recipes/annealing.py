"""How strong each aid of training is at a step, so that a network ends as the plain one.

Jaiswal et al., "Training Your Sparse Neural Network Better with Any Mask" (ICML 2022), use soft activations and ghost
skips in the early stage of training only; the shapes of the schedules are choices of this library.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxticket.core.errors import ConfigError
from jaxticket.recipes.soft import soft_kind

Step = Any  # an integer, traced or not


def soft_phase(
    kind: str, steps: int | None, betas: tuple[float, float] = (1.0, 20.0)
) -> Callable[[Step], tuple[jax.Array, jax.Array]]:
    """What `beta` and `blend` of `soft_activation` are at a step.

    For `pswish` beta rises from the first to the second of `betas`, multiplied by the same factor at each step, and the
    next step has ReLU; with beta 20 that last jump is at most 0.014. For every other kind beta stays the first of
    `betas` and `blend` rises from 0 in a straight line.

    Args:
        kind: of the activation.
        steps: the number of steps that are soft, the rest has ReLU; None: all are, and nothing changes.
        betas: both above 0.

    Returns:
        step (from 0, traced or not) -> (beta, blend), float32 scalars.

    Raises:
        ConfigError: an unknown kind, or a number out of range.

    Example:
        >>> from jaxticket import recipes
        >>> beta, blend = recipes.soft_phase("swish", steps=100)(50)
        >>> float(beta), float(blend)
        (1.0, 0.5)
    """
    sharpens = soft_kind(kind).sharpens
    _check_steps(steps)
    first, last = betas
    if not (first > 0 and last > 0):
        raise ConfigError(f"betas={betas!r}: both must be above 0")

    def phase(step: Step) -> tuple[jax.Array, jax.Array]:
        if steps is None:
            return _float(first), _float(0.0)
        now = _float(step)
        if not sharpens:
            return _float(first), _share(now, steps)
        # The last of `steps` soft steps has the last beta.
        return first * (last / first) ** _share(now, max(steps - 1, 1)), _float(now >= steps)

    return phase


def annealed(initial: float, steps: int | None) -> Callable[[Step], jax.Array]:
    """A number that falls in a straight line to exactly 0, as the strength of ghost skips; or one that stays.

    Args:
        initial: the value at step 0.
        steps: the first step at which it is 0; None: it stays what it is, as the share of label smoothing does.

    Returns:
        step (from 0, traced or not) -> float32 scalar.

    Raises:
        ConfigError: `steps` below 1.

    Example:
        >>> from jaxticket import recipes
        >>> strength = recipes.annealed(1.0, steps=4)
        >>> [float(strength(step)) for step in (0, 1, 4, 9)]
        [1.0, 0.75, 0.0, 0.0]
    """
    _check_steps(steps)

    def value(step: Step) -> jax.Array:
        return _float(initial) if steps is None else initial * (1 - _share(_float(step), steps))

    return value


def _share(step: jax.Array, steps: int) -> jax.Array:
    """How much of the way is gone, from 0 to exactly 1; float32 counts steps exactly up to 2**24."""
    return jnp.clip(step / steps, 0.0, 1.0)


def _float(number: Any) -> jax.Array:
    return jnp.asarray(number).astype(jnp.float32)


def _check_steps(steps: int | None) -> None:
    if steps is not None and steps < 1:
        raise ConfigError(f"steps={steps!r}: must be at least 1, or None for no end")
