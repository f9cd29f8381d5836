"""Adam for scales, with one memory of directions for each of two goals that take turns."""

import dataclasses

import jax
import jax.numpy as jnp

_FIRST, _SECOND, _EPSILON = 0.9, 0.999, 1e-8


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ScaleState:
    """Scales and what Adam remembers of their gradients.

    Attributes:
        scales: float32 [T].
        means: float32 [2, T], the moving average of gradients for each goal.
        squares: float32 [T], the moving average of squared gradients of both goals.
        counts: int32 [2], the steps taken for each goal.
    """

    scales: jax.Array
    means: jax.Array
    squares: jax.Array
    counts: jax.Array


def initial_state(size: int) -> ScaleState:
    """Scales of 1, and no memory."""
    return ScaleState(
        scales=jnp.ones(size, jnp.float32),
        means=jnp.zeros((2, size), jnp.float32),
        squares=jnp.zeros(size, jnp.float32),
        counts=jnp.zeros(2, jnp.int32),
    )


def rescale_adam(
    state: ScaleState, gradients: jax.Array, goal: jax.Array, *, rate: float, floors: jax.Array, clip: float = 1.0
) -> ScaleState:
    """One step against the gradients (Zhu et al., "GradInit", NeurIPS 2021, section 3 and its supplement).

    The average of gradients and its bias correction belong to the goal of the step; squares are shared by both goals
    and corrected with the number of all steps. A scale with gradients of zero stays as it is.

    Args:
        state: scales of T tensors.
        gradients: float32 [T].
        goal: int32 scalar, 0 or 1, traced or not.
        rate: the learning rate.
        floors: float32 [T], the least values of the scales.
        clip: gradients are clipped to plus and minus this.
    """
    gradients = jnp.clip(gradients, -clip, clip)
    mean = _FIRST * state.means[goal] + (1 - _FIRST) * gradients
    squares = _SECOND * state.squares + (1 - _SECOND) * gradients**2
    counts = state.counts.at[goal].add(1)
    corrected = mean / (1 - _FIRST ** counts[goal].astype(jnp.float32))
    spread = jnp.sqrt(squares / (1 - _SECOND ** counts.sum().astype(jnp.float32)))
    scales = jnp.maximum(state.scales - rate * corrected / (spread + _EPSILON), floors)
    return ScaleState(scales, state.means.at[goal].set(mean), squares, counts)
