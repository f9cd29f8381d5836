"""Granularities: what is pruned as one piece, a weight, a block of a matrix or an output channel.

A granularity pools the weights of a leaf into units and expands chosen units to weights; `prune` ranks and counts
units. A pattern, such as that of `n_of_m`, leaves nothing to count: how many weights are removed is in its name.
"""

import functools
import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxticket.core.checks import check_whole
from jaxticket.core.errors import ConfigError, MaskError
from jaxticket.core.granularities import find_granularity
from jaxticket.core.lazy import load_object
from jaxticket.core.pooling import Pooling, check_pooling, pooled
from jaxticket.core.topk import ordered_integers
from jaxticket.core.types import Mask, Path, Scores


@runtime_checkable
class Granularity(Protocol):
    """How the weights of a leaf form units. It must be hashable, as a frozen dataclass is, for `jit`."""

    def pool(self, kept: jax.Array, score: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The units of a leaf, in the order in which the first of equals goes.

        Args:
            kept: bool array, the leaf of the mask.
            score: float array of its shape.

        Returns:
            Which units are alive, bool [any shape], and their scores, a float array of that shape.
        """
        ...

    def expand(self, units: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """For every weight of a leaf of this shape whether its unit is kept; the inverse of `pool` for bool arrays."""
        ...


@dataclass(frozen=True)
class Unstructured:
    """Every weight is a unit."""

    def pool(self, kept: jax.Array, score: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The weights themselves."""
        return kept, score

    def expand(self, units: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """The units themselves."""
        del shape
        return units


UNSTRUCTURED = Unstructured()
"""Every weight is pruned by itself."""


@runtime_checkable
class Pattern(Protocol):
    """A granularity that says itself which weights are removed, so that no rate, sparsity or scope is given."""

    def check(self, mask: Mask) -> None:
        """Refuses leaves that it does not fit, with a `MaskError`."""
        ...

    def choose(self, mask: Mask, scores: Scores) -> tuple[Mask, dict[Path, jax.Array]]:
        """The new mask, and how many kept weights of each leaf have a NaN score, uint32."""
        ...

    def count(self, kept: np.ndarray) -> int:
        """How many weights of a leaf of the mask it keeps, whatever the scores."""
        ...


@dataclass(frozen=True)
class Block:
    """Blocks of the (inputs, outputs) matrix of a leaf; see `block`."""

    rows: int
    cols: int
    pooling: Pooling

    def pool(self, kept: jax.Array, score: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Units [ceil(inputs / rows), ceil(outputs / cols)], those of the last row and column perhaps smaller."""
        height, width = _matrix_shape(kept.shape)
        rows, cols = self._size(height, width)
        across, along = math.ceil(height / rows), math.ceil(width / cols)
        ragged = ((0, across * rows - height), (0, along * cols - width))

        def cut(leaf: jax.Array) -> jax.Array:
            return jnp.pad(leaf.reshape(height, width), ragged).reshape(across, rows, along, cols)

        return pooled(cut(kept), cut(score), (1, 3), self.pooling)

    def expand(self, units: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Every unit as a block, cut off at the edges of the matrix."""
        height, width = _matrix_shape(shape)
        rows, cols = self._size(height, width)
        across, along = units.shape
        blocks = lax.broadcast_in_dim(units, (across, rows, along, cols), (0, 2))
        return blocks.reshape(across * rows, along * cols)[:height, :width].reshape(shape)

    def _size(self, height: int, width: int) -> tuple[int, int]:
        """A block need not be larger than the matrix, which would only be padded."""
        return max(1, min(self.rows, height)), max(1, min(self.cols, width))


@dataclass(frozen=True)
class Channel:
    """Output channels, the slices along the last axis; see `channel`."""

    pooling: Pooling

    def pool(self, kept: jax.Array, score: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Units [channels]."""
        return pooled(kept, score, tuple(range(kept.ndim - 1)), self.pooling)

    def expand(self, units: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """Every unit as a slice."""
        return lax.broadcast_in_dim(units, shape, (len(shape) - 1,))


@dataclass(frozen=True)
class NOfM:
    """At most n weights of every m in a row; see `n_of_m`."""

    n: int
    m: int

    def check(self, mask: Mask) -> None:
        """Refuses leaves without an input axis, or with one that m does not divide."""
        for path, kept in sorted(mask.items()):
            shape = np.shape(kept)
            if len(shape) < 2 or shape[-2] % self.m:
                inputs = f"{shape[-2]} inputs" if len(shape) >= 2 else "no input axis"
                raise MaskError(
                    f"{path!r} of shape {shape} has {inputs}, n_of_m({self.n}, {self.m}) needs a multiple of "
                    f"{self.m}; leave it out of the mask or choose another m"
                )

    def choose(self, mask: Mask, scores: Scores) -> tuple[Mask, dict[Path, jax.Array]]:
        """Of every m weights those of the highest scores."""
        return _keep_n_of_m(mask, scores, self)

    def count(self, kept: np.ndarray) -> int:
        """At most n of every m."""
        *others, inputs, outputs = kept.shape
        in_a_row = kept.reshape(*others, inputs // self.m, self.m, outputs).sum(-2)
        return int(np.minimum(in_a_row, self.n).sum())


def granularity_of(granularity: Granularity | Pattern | str) -> Granularity | Pattern:
    """The granularity itself, or that which a text such as `block:16x128` stands for.

    Raises:
        ConfigError: a text that stands for none.
        MaskError: it is no granularity.
    """
    if isinstance(granularity, str):
        row, numbers = find_granularity(granularity, "granularity")
        return load_object(row.make)(*numbers)
    if isinstance(granularity, type) or not isinstance(granularity, Granularity | Pattern):
        raise MaskError(
            f"granularity={granularity!r}: must be UNSTRUCTURED, n_of_m(n, m), block(rows, cols), channel(), the text "
            "of one, or an object with the methods pool and expand"
        )
    return granularity


def block(rows: int, cols: int, *, pool: Pooling = "mean") -> Block:
    """Blocks of weights that go together.

    A kernel is taken as the matrix [inputs, outputs], a convolution [height, width, inputs, outputs] as [height * width
    * inputs, outputs]. Where a block does not fit, at the lower and right edge, the unit is the part that exists.

    Args:
        rows: the number of inputs in a block, at least 1.
        cols: the number of outputs in a block, at least 1.
        pool: the score of a block is the 'mean', 'sum' or 'max' of the scores of its weights that are kept.

    Raises:
        ConfigError: an argument out of range.

    Example:
        >>> scores = {"w": jnp.arange(16.0).reshape(4, 4)}
        >>> mask = {"w": jnp.ones((4, 4), bool)}
        >>> jt.prune(mask, scores, sparsity=0.5, granularity=jt.block(2, 2))["w"].sum(1).tolist()
        [0, 0, 4, 4]
    """
    for name, number in (("rows", rows), ("cols", cols)):
        check_whole(name, number, 1, error=ConfigError)
    check_pooling(pool)
    return Block(rows, cols, pool)


def channel(*, pool: Pooling = "mean") -> Channel:
    """Output channels: all weights with one index in the last axis go together.

    Those of a classifier are the classes: leave it out of the mask, as the default rules do.

    Args:
        pool: the score of a channel is the 'mean', 'sum' or 'max' of the scores of its weights that are kept.

    Raises:
        ConfigError: an unknown `pool`.

    Example:
        >>> scores = {"w": jnp.array([[3.0, 1.0], [4.0, 2.0]])}
        >>> jt.prune({"w": jnp.ones((2, 2), bool)}, scores, sparsity=0.5, granularity=jt.channel())["w"].tolist()
        [[True, False], [True, False]]
    """
    check_pooling(pool)
    return Channel(pool)


def n_of_m(n: int, m: int) -> NOfM:
    """Of every m weights that follow each other along the input axis, the last but one, the n of highest score stay.

    Zhou et al., "Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch" (ICLR 2021); 2:4 is what
    sparse tensor cores take.

    Args:
        n: at least 1.
        m: at least n.

    Raises:
        ConfigError: an argument out of range.

    Example:
        >>> scores = {"w": jnp.array([[3.0], [1.0], [4.0], [2.0]])}
        >>> jt.prune({"w": jnp.ones((4, 1), bool)}, scores, granularity=jt.n_of_m(2, 4))["w"][:, 0].tolist()
        [True, False, True, False]
    """
    for name, number in (("n", n), ("m", m)):
        check_whole(name, number, 1, error=ConfigError)
    if n > m:
        raise ConfigError(f"n={n!r}, m={m!r}: n must be at least 1 and at most m")
    return NOfM(n, m)


@functools.partial(jax.jit, static_argnames="granularity")
def pool_units(mask: Mask, scores: Scores, granularity: Granularity) -> tuple[Mask, Scores]:
    """Which units are alive, path -> bool array, and their scores, path -> float array of the same shape."""
    units = {path: granularity.pool(kept, scores[path]) for path, kept in mask.items()}
    return {path: alive for path, (alive, _) in units.items()}, {path: score for path, (_, score) in units.items()}


@functools.partial(jax.jit, static_argnames="granularity")
def expand_units(mask: Mask, units: Mask, granularity: Granularity) -> Mask:
    """The mask without the weights of units that are False."""
    return {path: kept & granularity.expand(units[path], kept.shape) for path, kept in mask.items()}


@functools.partial(jax.jit, static_argnames="pattern")
def _keep_n_of_m(mask: Mask, scores: Scores, pattern: NOfM) -> tuple[Mask, dict[Path, jax.Array]]:
    """The mask with at most n kept of every m, and how many kept weights of each leaf have a NaN score, uint32."""

    def keep(kept: jax.Array, score: jax.Array) -> jax.Array:
        *others, inputs, outputs = kept.shape
        rows = (*others, inputs // pattern.m, pattern.m, outputs)
        axis = len(rows) - 2
        integers = ordered_integers(score).reshape(rows)
        # No score is as low as the least integer, so a pruned weight is never better than a kept one.
        integers = jnp.where(kept.reshape(rows), integers, jnp.iinfo(integers.dtype).min)
        position = lax.broadcasted_iota(jnp.int32, rows, axis)

        def count_better(other: jax.Array, better: jax.Array) -> jax.Array:
            against = lax.dynamic_index_in_dim(integers, other, axis)
            later = jnp.asarray(other, jnp.int32) > position
            return better + ((against > integers) | ((against == integers) & later)).astype(jnp.int32)

        better = lax.fori_loop(0, pattern.m, count_better, jnp.zeros(rows, jnp.int32), unroll=min(pattern.m, 8))
        return kept & (better < pattern.n).reshape(kept.shape)

    nan = {path: jnp.sum(kept & jnp.isnan(scores[path]), dtype=jnp.uint32) for path, kept in mask.items()}
    return {path: keep(kept, scores[path]) for path, kept in mask.items()}, nan


def _matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    *inputs, outputs = shape or (1,)
    return math.prod(inputs), outputs
