"""Schedules: from a level or a step to the sparsity that is wanted there."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.checks import check_number, check_whole
from jaxticket.core.errors import ConfigError

Schedule = Callable[[Any], Any]


def geometric(rate: float) -> Schedule:
    """Iterative magnitude pruning: every level removes the share `rate` of what the one before it kept.

    Args:
        rate: in [0, 1).

    Returns:
        level k -> sparsity `1 - (1 - rate)**k`; level 0 is dense, a traced level gives a traced float32.

    Raises:
        ConfigError: a rate out of range.

    Example:
        >>> sparsity = jt.geometric(0.2)
        >>> [round(sparsity(level), 3) for level in range(4)]
        [0.0, 0.2, 0.36, 0.488]
    """
    _check("rate", rate, below_one=True)
    return lambda level: 1 - (1 - rate) ** _real(level)


def exponential(final: float, rounds: int) -> Schedule:
    """Equal pruning rates that reach the sparsity `final` after `rounds` rounds.

    This is the schedule of SynFlow (Tanaka et al., "Pruning neural networks without any data", NeurIPS 2020).

    Args:
        final: in [0, 1).
        rounds: at least 1.

    Returns:
        round k -> sparsity `1 - (1 - final)**(k / rounds)`; a traced k gives a traced float32.

    Raises:
        ConfigError: an argument out of range.

    Example:
        >>> sparsity = jt.exponential(0.9, rounds=2)
        >>> [round(sparsity(k), 3) for k in range(3)]
        [0.0, 0.684, 0.9]
    """
    _check("final", final, below_one=True)
    check_whole("rounds", rounds, 1, error=ConfigError)
    return lambda k: 1 - (1 - final) ** (_real(k) / rounds)


def linear(start: int, end: int, initial: float, final: float) -> Schedule:
    """From `initial` sparsity up to step `start` in a straight line to `final` at step `end` and after.

    Args:
        start: the last step of the initial sparsity.
        end: the first step of the final sparsity, after `start`.
        initial: in [0, 1].
        final: in [0, 1].

    Returns:
        step -> sparsity; a traced step gives a traced float32.

    Raises:
        ConfigError: an argument out of range.

    Example:
        >>> sparsity = jt.linear(start=10, end=20, initial=0.0, final=0.8)
        >>> [float(sparsity(step)) for step in (5, 15, 30)]
        [0.0, 0.4, 0.8]
    """
    _check_span(start, end, initial, final)
    return lambda step: final + (initial - final) * _share_left(step, start, end)


def cubic(start: int, end: int, initial: float, final: float, every: int) -> Schedule:
    """Gradual magnitude pruning: fast at first, ever slower towards the final sparsity.

    `s(t) = final + (initial - final) * (1 - (t - start) / (end - start))**3` with t held between updates, which come
    every `every` steps from `start` on (Zhu and Gupta, "To prune, or not to prune", 2017, equation 1).

    Args:
        start: the step of the first update, whose sparsity is still `initial`.
        end: the first step of the final sparsity, after `start`.
        initial: in [0, 1].
        final: in [0, 1].
        every: the number of steps between updates, at least 1.

    Returns:
        step -> sparsity; a traced step gives a traced float32.

    Raises:
        ConfigError: an argument out of range.

    Example:
        >>> sparsity = jt.cubic(start=0, end=10, initial=0.0, final=0.8, every=5)
        >>> [round(float(sparsity(step)), 3) for step in (0, 4, 5, 10)]
        [0.0, 0.0, 0.7, 0.8]
    """
    _check_span(start, end, initial, final)
    check_whole("every", every, 1, error=ConfigError)

    def sparsity(step: Any) -> Any:
        numbers = _namespace(step)
        last_update = numbers.where(step < end, start + (step - start) // every * every, end)
        return final + (initial - final) * _share_left(last_update, start, end) ** 3

    return sparsity


def _share_left(step: Any, start: int, end: int) -> Any:
    """The share of the way from `start` to `end` that still lies ahead, 1 before and 0 after."""
    return _namespace(step).clip((end - step) / (end - start), 0.0, 1.0)


def _real(level: Any) -> Any:
    return level.astype(jnp.float32) if isinstance(level, jax.Array) else level


def _namespace(step: Any) -> Any:
    return jnp if isinstance(step, jax.Array) else np


def _check(name: str, share: float, *, below_one: bool = False) -> None:
    check_number(name, share, 0, 1, below=below_one, error=ConfigError)


def _check_span(start: int, end: int, initial: float, final: float) -> None:
    _check("initial", initial)
    _check("final", final)
    for name, step in (("start", start), ("end", end)):
        check_number(name, step, -np.inf, np.inf, error=ConfigError)
    if end <= start:
        raise ConfigError(f"end={end!r}: must come after start={start!r}")
