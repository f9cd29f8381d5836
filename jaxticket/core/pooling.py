"""Pooling: one score for several weights, the same to the last bit however the work is divided.

Floating-point sums depend on the order of addition, which differs between eager calls, `jit`, `vmap` and numbers of
devices. Here scores are added as integers, whose sum does not.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from jaxticket.core.errors import ConfigError

Pooling = Literal["mean", "sum", "max"]
POOLINGS = ("mean", "sum", "max")


def check_pooling(pool: str) -> None:
    """Makes sure that `pool` is the name of a pooling, or raises `ConfigError`."""
    if pool not in POOLINGS:
        raise ConfigError(f"pool={pool!r}: must be one of {', '.join(map(repr, POOLINGS))}")


def pooled(kept: jax.Array, score: jax.Array, axes: tuple[int, ...], pooling: Pooling) -> tuple[jax.Array, jax.Array]:
    """Makes units of all weights that differ in the index of `axes` only.

    Args:
        kept: bool array.
        score: float array of its shape; half precision counts as float32. Processors that flush subnormal numbers make
            a unit of nothing else score 0.
        axes: the axes that are reduced.
        pooling: how the scores of the weights that are kept become one.

    Returns:
        Which units have a weight that is kept, bool, and the scores of the units; both without `axes`.
    """
    alive = jnp.any(kept, axes)
    score = score if score.dtype == jnp.float64 else score.astype(jnp.float32)
    highest = jnp.max(score, axes, initial=-jnp.inf, where=kept)
    if pooling == "max":
        return alive, highest
    lowest = jnp.min(score, axes, initial=jnp.inf, where=kept)
    total, exponent = _sum(jnp.where(kept, score, jnp.zeros_like(score)), axes)
    if pooling == "mean":
        # The number of a mask that is a constant of the program must not look like one: XLA would multiply by a rounded
        # reciprocal, and so give other bits than where the mask is an argument.
        number = lax.optimization_barrier(jnp.sum(kept, axes, dtype=jnp.int32))
        total /= jnp.maximum(number, 1).astype(total.dtype)
    # An infinity is no integer; of two that differ, and of NaN, there is no sum.
    finite = jnp.isfinite(highest) & jnp.isfinite(lowest)
    return alive, jnp.where(finite, jnp.ldexp(total, exponent), highest + lowest)


def _sum(values: jax.Array, axes: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """(sum, exponent): the sum over `axes` is sum * 2**exponent, the same whatever the order of addition.

    In units of a power of two above the greatest of them, the values are cut into pieces of a few bits, so few that
    the sum of all first pieces is still an integer of the machine, and so is that of all second pieces, and so on.
    """
    double = values.dtype == jnp.float64
    integer, digits = (jnp.int64, 53) if double else (jnp.int32, 24)
    carry = math.ceil(math.log2(max(2, math.prod(values.shape[axis] for axis in axes))))
    bits = jnp.iinfo(integer).bits - 2 - carry
    _, exponent = jnp.frexp(jnp.max(jnp.abs(values), axes, keepdims=True, initial=0.0))
    rest, sums = jnp.ldexp(values, -exponent), []
    for _ in range(math.ceil((digits + carry) / bits)):
        rest = rest * 2.0**bits
        piece = jnp.round(rest)
        rest = rest - piece
        sums.append(jnp.sum(piece.astype(integer), axes, dtype=integer))
    total = jnp.zeros(sums[0].shape, values.dtype)
    for piece in reversed(sums):
        total = (total + piece.astype(values.dtype)) * 2.0**-bits
    return total, jnp.squeeze(exponent, axes)
