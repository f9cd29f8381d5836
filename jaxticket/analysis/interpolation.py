"""Instability: is there a hill between two networks that trained from the same start on data in another order?"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from jaxticket.core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Barrier:
    """The hill on the straight line between two networks.

    Attributes:
        height: the largest rise above the straight line between the errors of the two ends; 0 at least.
        position: where on the way, in [0, 1].
    """

    height: float
    position: float


def interpolate(a: Any, b: Any, position: float) -> Any:
    """The weights on the way from `a` (0) to `b` (1), a pytree like them; integer leaves are those of `a`.

    Example:
        >>> from jaxticket import analysis
        >>> analysis.interpolate({"w": np.zeros(2)}, {"w": np.ones(2)}, 0.25)["w"].tolist()
        [0.25, 0.25]
    """

    def between(x: Any, y: Any) -> Any:
        return x + (y - x) * x.dtype.type(position) if jax.numpy.issubdtype(x.dtype, jax.numpy.floating) else x

    return jax.tree.map(between, a, b)


def error_barrier(positions: Sequence[float], errors: Sequence[float]) -> Barrier:
    """The error barrier of a path between two networks (Frankle et al. 2020, section 2; Entezari et al. 2022, eq. 1).

    Its height is the largest error on the way above the mean of the ends' errors, which is weighted by position, so
    that two ends of different quality do not count as a hill.

    Args:
        positions: increasing, from 0 to 1.
        errors: the error, or the loss, at each of them.

    Raises:
        ConfigError: fewer than two positions, or they do not go from 0 to 1.

    Example:
        >>> from jaxticket import analysis
        >>> analysis.error_barrier([0.0, 0.5, 1.0], [0.25, 0.75, 0.25])
        Barrier(height=0.5, position=0.5)
    """
    positions = list(positions)
    if len(positions) < 2 or len(positions) != len(errors) or positions != sorted(set(positions)):
        raise ConfigError(f"error_barrier(): needs increasing positions with an error each, found {positions}")
    if positions[0] != 0 or positions[-1] != 1:
        raise ConfigError(f"error_barrier(): positions must go from 0 to 1, found {positions[0]} to {positions[-1]}")
    rises = [
        (error - ((1 - at) * errors[0] + at * errors[-1]), at) for at, error in zip(positions, errors, strict=True)
    ]
    height, position = max(rises, key=lambda rise: rise[0])
    return Barrier(max(0.0, height), position)
