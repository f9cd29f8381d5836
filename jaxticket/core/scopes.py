"""Scopes: which leaves are compared with each other, and how many units go from each group of them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxticket.core.errors import MaskError
from jaxticket.core.masks import is_traced, layer_sparsity
from jaxticket.core.rules import match_rules
from jaxticket.core.types import Mask, Path

Scope = str | Mapping[str, Any]
SCOPES = ("global", "layer", "erk")


def groups_of(scope: Scope, paths: Iterable[Path]) -> dict[Path, int]:
    """The group of every leaf, numbered from 0: one for all with 'global', else one for each in sorted order.

    Raises:
        MaskError: an unknown scope.
    """
    if scope == "global":
        return dict.fromkeys(paths, 0)
    if isinstance(scope, Mapping) or scope in SCOPES:
        return {path: number for number, path in enumerate(sorted(paths))}
    names = ", ".join(map(repr, SCOPES))
    raise MaskError(f"scope={scope!r}: must be one of {names}, or a dictionary {{regular expression: sparsity}}")


def sparsity_by_rules(scope: Mapping[str, Any], paths: Iterable[Path]) -> list[Any]:
    """The sparsity of the first regular expression that matches the whole path, for every path in sorted order.

    Raises:
        MaskError: a path that no expression covers, or an expression that is not a valid one.
    """
    # A last rule for what none covers, so that the error can name the remedy that fits here.
    matched = match_rules([*scope.items(), ("(?s:.*)", None)], sorted(paths))
    for path, sparsity in matched.items():
        if sparsity is None:
            raise MaskError(f"scope={dict(scope)!r}: nothing covers {path!r}; add an expression, such as '.*': 0.0")
    return list(matched.values())


def numbers_to_remove(kept: Any, sizes: Sequence[int], *, rate: Any = None, sparsity: Any = None) -> Any:
    """How many units go from each group, uint32 [groups].

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
        shares = share if isinstance(share, list) else [share] * len(sizes)
        part = np.array([round(float(s) * int(whole)) for s, whole in zip(shares, wholes, strict=True)], np.uint32)
    least = np.minimum if isinstance(part, np.ndarray) and isinstance(kept, np.ndarray) else jnp.minimum
    if sparsity is None:
        return least(part, kept)
    return part - least(part, total - kept)


def erk_numbers_to_remove(
    kept: Any, sizes: Sequence[int], shapes: Sequence[tuple[int, ...]], *, rate: Any = None, sparsity: Any = None
) -> Any:
    """How many units go from each layer so that densities follow Erdos-Renyi-Kernel; the total is exact.

    The density of a layer is in proportion to the sum of the dimensions of its kernel over their product. A layer
    that would get more units than it keeps loses none, and the others share what is left in the same proportion
    (Evci et al., "Rigging the Lottery", ICML 2020, section 3). Fractions are settled by the largest remainder; of
    equal ones the last layer keeps more.

    Args:
        kept: how many units each layer keeps, uint32 [layers].
        sizes: how many units each layer has.
        shapes: the shape of each layer's weights.
        rate: remove this share of all units kept; or
        sparsity: remove until this share of all units is gone.

    Returns:
        uint32 [layers].
    """
    weights = [
        max(sum(shape), 1) * max(size, 1) / max(math.prod(shape), 1) for shape, size in zip(shapes, sizes, strict=True)
    ]
    all_kept = kept.sum(keepdims=True, dtype=np.uint32)
    target = all_kept - numbers_to_remove(all_kept, (sum(sizes),), rate=rate, sparsity=sparsity)
    return kept - _share_out(target, weights, kept)


def _share_out(total: Any, weights: Sequence[float], most: Any) -> Any:
    """Integers in proportion to `weights`, at most `most` of each, that add up to `total`, uint32 [layers].

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


def _fill(rooms: Any, number: Any) -> Any:
    """`number` put into `rooms`, the first ones first, uint32 [rooms]."""
    numbers = jnp if is_traced((rooms, number)) else np
    before = numbers.cumsum(rooms, dtype=np.uint32) - rooms
    return numbers.minimum(numbers.maximum(number, before) - before, rooms)


def _sum(counts: Any) -> Any:
    return counts.sum(keepdims=True, dtype=np.uint32)


def least_kept(sizes: Sequence[int], max_layer_sparsity: float) -> np.ndarray:
    """How many units of each layer must stay, `ceil((1 - max_layer_sparsity) * size)`, uint32 [layers].

    The share counts as the decimal number it is written as: of 10 units at 0.7 stay 3, where floats would say 4.
    """
    share = 1 - Fraction(str(float(max_layer_sparsity)))
    return np.array([math.ceil(share * size) for size in sizes], np.uint32)


def empty_layers(mask: Mask) -> list[Path]:
    """The leaves of which nothing is kept, in sorted order; through such a layer no signal passes.

    Raises:
        MaskError: the mask is traced, so that its values are not known.
    """
    return [path for path, share in layer_sparsity(mask).items() if share == 1]
