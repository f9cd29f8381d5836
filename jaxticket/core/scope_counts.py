"""How many units each scope removes from each group, in exact numbers."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.checks import check_number, shown
from jaxticket.core.errors import MaskError
from jaxticket.core.lazy import load_object
from jaxticket.core.masks import is_traced, layer_sparsity
from jaxticket.core.rules import match_rules
from jaxticket.core.scopes import Scope
from jaxticket.core.types import Array, Mask, Number, Path, Scores

# Positions and counts are unsigned 32-bit integers; this is the largest of them that float32 holds too.
MOST_PER_GROUP = 2**32 - 2**8


class UnitCounts(NamedTuple):
    """What a scope decides by.

    Attributes:
        kept: how many units each group keeps, uint32 [groups]; traced where the mask is.
        sizes: how many units each group has.
        paths: of the leaves, sorted; where leaves are not compared together, each is a group.
        shapes: of the weights of each leaf.
    """

    kept: Array
    sizes: tuple[int, ...]
    paths: tuple[Path, ...]
    shapes: tuple[tuple[int, ...], ...]

    def left(self, *, rate: Number | None = None, sparsity: Number | None = None) -> Array:
        """How many units of all groups stay, uint32 [1].

        Raises:
            MaskError: there are more units than can be counted.
        """
        check_size(sum(self.sizes))
        all_kept = self.kept.sum(keepdims=True, dtype=np.uint32)
        return all_kept - numbers_to_remove(all_kept, (sum(self.sizes),), rate=rate, sparsity=sparsity)


def numbers_of(scope: Scope, counts: UnitCounts, *, rate: Number | None, sparsity: Number | None) -> Array:
    """How many units a scope removes from each group, uint32 [groups].

    Raises:
        MaskError: it says no whole number for each group, or one that is not from 0 to the units kept; of traced
            numbers only their shape is known.
    """
    numbers = load_object(scope.numbers)(counts, rate=rate, sparsity=sparsity)
    shape, kind = np.shape(numbers), getattr(getattr(numbers, "dtype", None), "kind", "")
    if shape != np.shape(counts.kept) or kind not in tuple("iu"):
        raise MaskError(
            f"scope {scope.name!r} says {shown(numbers)}; must be an array of {len(counts.sizes)} whole numbers, how "
            "many units are removed from each group"
        )
    if not is_traced((numbers, counts.kept)):
        removed, kept = np.asarray(numbers, np.int64), np.asarray(counts.kept, np.int64)
        for group in np.flatnonzero((removed < 0) | (removed > kept))[:1]:
            where = repr(counts.paths[group]) if len(counts.sizes) == len(counts.paths) else "all leaves"
            raise MaskError(
                f"scope {scope.name!r} removes {removed[group]} of {kept[group]} units of {where}; must be from 0 to "
                f"{kept[group]}"
            )
    return numbers


def same_share(counts: UnitCounts, *, rate: Number | None = None, sparsity: Number | None = None) -> Array:
    """The same share of every group, rounded: the scopes 'global', 'layer' and 'output'."""
    return numbers_to_remove(counts.kept, counts.sizes, rate=rate, sparsity=sparsity)


def erdos_renyi_kernel(counts: UnitCounts, *, rate: Number | None = None, sparsity: Number | None = None) -> Array:
    """The scope 'erk': densities follow Erdos-Renyi-Kernel; the total is exact.

    The density of a layer is in proportion to the sum of the dimensions of its kernel over their product. A layer
    that would get more units than it keeps loses none, and the others share what is left in the same proportion
    (Evci et al., "Rigging the Lottery", ICML 2020, section 3).
    """
    weights = [
        max(sum(shape), 1) * max(size, 1) / max(math.prod(shape), 1)
        for shape, size in zip(counts.shapes, counts.sizes, strict=True)
    ]
    return counts.kept - share_out(counts.left(rate=rate, sparsity=sparsity), weights, counts.kept)


def sparsity_by_rules(
    rules: Mapping[str, Any], counts: UnitCounts, *, rate: None = None, sparsity: None = None
) -> Array:
    """For every leaf the sparsity of the first regular expression that matches its whole path.

    Raises:
        MaskError: a path that no expression covers, an expression that is not a valid one, or a sparsity out of range.
    """
    # A last rule for what none covers, so that the error can name the remedy that fits here.
    matched = match_rules([*rules.items(), ("(?s:.*)", None)], counts.paths)
    for path, share in matched.items():
        if share is None:
            raise MaskError(f"scope={dict(rules)!r}: nothing covers {path!r}; add an expression, such as '.*': 0.0")
        check_share("sparsity", share)
    return numbers_to_remove(counts.kept, counts.sizes, sparsity=list(matched.values()))


@jax.jit
def ranks_within_outputs(units: Mask, scores: Scores) -> Scores:
    """The scope 'output': scores become ranks among those of the same output, so that each loses the same share.

    What is pruned ranks first, then the others from the lowest score up; among equal scores the first in C-order has
    the lower rank.

    Args:
        units: path -> bool array [..., outputs].
        scores: path -> float array of the same shapes.

    Returns:
        Path -> float32 array of the leaf's shape, the rank over the number of units of an output, in (0, 1].

    Raises:
        MaskError: a leaf whose outputs are one unit each.
    """

    def rank(path: Path, kept: jax.Array) -> jax.Array:
        if kept.ndim < 2:
            raise MaskError(f"scope='output': {path!r} has one unit for each output, with no other to compare it with")
        flat = jnp.where(kept, scores[path].astype(jnp.float32), -jnp.inf).reshape(-1, kept.shape[-1])
        positions = jnp.argsort(jnp.argsort(flat, axis=0, stable=True), axis=0)
        ranks = ((positions + 1).astype(jnp.float32) / len(flat)).reshape(kept.shape)
        return jnp.where(jnp.isnan(scores[path]), jnp.nan, ranks)

    return {path: rank(path, kept) for path, kept in units.items()}


def numbers_to_remove(
    kept: Array, sizes: Sequence[int], *, rate: Number | None = None, sparsity: Number | Sequence[Number] | None = None
) -> Array:
    """How many units are removed from each group, uint32 [groups].

    Python's own arithmetic is used where all that the numbers depend on is known, else float32.

    Args:
        kept: how many each group keeps, uint32 [groups].
        sizes: how many each group has.
        rate: remove this share of those kept; or
        sparsity: remove until this share of all is gone. One number, or a list with one for each group.
    """
    total = np.array(sizes, np.uint32)
    share, wholes = (rate, kept) if sparsity is None else (sparsity, total)
    if is_traced((share, wholes)):
        part = jnp.round(jnp.asarray(share, jnp.float32) * wholes.astype(jnp.float32)).astype(jnp.uint32)
    else:
        shares: Any = share if isinstance(share, list) else [share] * len(sizes)
        part = np.array([round(float(s) * int(whole)) for s, whole in zip(shares, wholes, strict=True)], np.uint32)
    least = np.minimum if isinstance(part, np.ndarray) and isinstance(kept, np.ndarray) else jnp.minimum
    if sparsity is None:
        return least(part, kept)
    return part - least(part, total - kept)


def share_out(total: Array, weights: Sequence[float], most: Array) -> Array:
    """Integers in proportion to `weights`, at most `most` of each, that add up to `total`, uint32 [layers].

    Fractions are settled by the largest remainder; of equal ones the last layer gets more.

    Args:
        total: uint32 [1], at most the sum of `most`.
        weights: positive.
        most: uint32 [layers].
    """
    traced = is_traced((total, most))
    numbers, real = (jnp, jnp.float32) if traced else (np, np.float64)
    weight, most = numbers.asarray(weights, real), numbers.asarray(most)
    limit = most.astype(real)
    # With the layers in the order in which they fill up, the level at which the rest shares what is left is the
    # greatest of those that follow from "the first i are full".
    order = numbers.argsort(limit / weight)
    full = numbers.cumsum(most[order], dtype=np.uint32) - most[order]
    levels = (numbers.maximum(total, full) - full).astype(real) / numbers.cumsum(weight[order][::-1])[::-1]
    ideal = numbers.minimum(limit, levels.max() * weight)
    share = numbers.minimum(numbers.floor(ideal).astype(np.uint32), most)

    order = numbers.argsort(ideal - share.astype(real), stable=True)[::-1]
    share, most = share[order], most[order]
    # Rounding in float32 can be off by more than the fractions: first down to the total, then up by ones, then by all.
    share = share - _fill(share, numbers.maximum(_sum(share), total) - total)
    share = share + _fill(numbers.minimum(most - share, np.uint32(1)), total - _sum(share))
    share = share + _fill(most - share, total - _sum(share))
    return share[numbers.argsort(order)]


def _fill(rooms: Array, number: Array) -> Array:
    """`number` put into `rooms`, the first ones first, uint32 [rooms]."""
    numbers = jnp if is_traced((rooms, number)) else np
    before = numbers.cumsum(rooms, dtype=np.uint32) - rooms
    return numbers.minimum(numbers.maximum(number, before) - before, rooms)


def _sum(counts: Array) -> Array:
    return counts.sum(keepdims=True, dtype=np.uint32)


def least_kept(sizes: Sequence[int], max_layer_sparsity: float) -> np.ndarray:
    """How many units of each layer must stay, `ceil((1 - max_layer_sparsity) * size)`, uint32 [layers].

    The share counts as the decimal number it is written as: of 10 units at 0.7 stay 3, where floats would say 4.
    """
    share = 1 - Fraction(str(float(max_layer_sparsity)))
    return np.array([math.ceil(share * size) for size in sizes], np.uint32)


def check_share(name: str, share: Any) -> None:
    """Makes sure that a rate or sparsity is one number from 0 to 1, or a traced scalar, or raises `MaskError`."""
    if not (is_traced(share) and share.ndim == 0):
        check_number(name, share, 0, 1)


def check_size(compared: int) -> None:
    """Makes sure that so many units can be compared with each other, or raises `MaskError`."""
    if compared > MOST_PER_GROUP:
        raise MaskError(
            f"{compared} units are compared with each other, at most {MOST_PER_GROUP} can be; prune parts of the mask "
            "one by one, or with scope='layer'"
        )


def empty_layers(mask: Mask) -> list[Path]:
    """The leaves of which nothing is kept, in sorted order; through such a layer no signal passes.

    Raises:
        MaskError: the mask is traced, so that its values are not known.
    """
    return [path for path, share in layer_sparsity(mask).items() if share == 1]
