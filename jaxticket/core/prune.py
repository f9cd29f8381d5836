"""Pruning: which weights are removed, given their scores; exact in number, stable in ties, the same on any devices.

Whatever is asked, it takes the same steps: scores of weights are pooled into scores of units (granularity), a scope
says which leaves are compared with each other and how many units are removed from each group, `topk.prune_lowest_k`
removes the lowest, and the units that stay are expanded to weights.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.checks import check_number, check_paths
from jaxticket.core.errors import MaskError
from jaxticket.core.granularity import (
    UNSTRUCTURED,
    Granularity,
    Pattern,
    expand_units,
    granularity_of,
    pool_units,
)
from jaxticket.core.lazy import load_object
from jaxticket.core.masks import check_scores, is_traced
from jaxticket.core.scope_counts import UnitCounts, check_share, check_size, least_kept, numbers_of
from jaxticket.core.scopes import Scope, ScopeLike, scope_of
from jaxticket.core.topk import GroupLayout, group_layout, ordered_keys, protect, prune_lowest_k
from jaxticket.core.types import Array, Mask, Number, Path, Scores


def prune(
    mask: Mask,
    scores: Scores,
    *,
    rate: Number | None = None,
    sparsity: Number | None = None,
    scope: ScopeLike = "global",
    granularity: Granularity | Pattern | str = UNSTRUCTURED,
    max_layer_sparsity: float = 1.0,
) -> Mask:
    """The mask without its lowest-scored units, an exact number of them; a unit is a weight if nothing else is said.

    What is pruned already is never considered, so the masks of successive calls are nested. Among equal scores the
    first in the order of (sorted path, C-order index) is removed first; -0.0 equals 0.0.

    `mask`, `scores`, `rate` and `sparsity` may be traced by `jit` or `vmap`, and arrays may be sharded over devices:
    the weights stay where they are, except for those that form blocks across devices. A number of units that depends
    on traced values is computed in float32. NaN scores cannot be reported under tracing; they rank above infinity
    there.

    Args:
        mask: path -> bool array, True = kept.
        scores: path -> float array of the mask's paths and shapes, higher = keep; half precision counts as float32.
        rate: remove `round(rate * kept)` of the units still kept; in [0, 1].
        sparsity: remove until `round(sparsity * all)` of all units are pruned; in [0, 1]. A mask that is sparser
            already stays as it is.
        scope: a name of `jt.scopes`. 'global' compares all units with each other and counts over the whole mask;
            'layer' does both within each leaf; 'output' counts within each leaf, and compares the weights of each of
            its outputs, the last axis, with each other, so that all outputs lose the same share; 'erk' gives each leaf
            a density in proportion to the sum of its dimensions over their product
            (`scope_counts.erdos_renyi_kernel`). A dictionary {regular expression: sparsity} gives each leaf the
            sparsity of the first expression that matches its whole path, and neither `rate` nor `sparsity` is given.
        granularity: what is removed as one unit: `UNSTRUCTURED`, `block(rows, cols)`, `channel()`, any `Granularity`,
            or its text in `jt.granularities`, such as 'block:16x128'. A unit is kept as long as any weight of it is,
            and rates and sparsities count units, whatever their size. `n_of_m(n, m)` says itself how many weights are
            removed, so `rate`, `sparsity` and `scope` are not given.
        max_layer_sparsity: with scope 'global', the largest share of its units that any leaf may lose, in [0, 1]. A
            leaf keeps at least its best `ceil((1 - max_layer_sparsity) * all)`, and others lose more instead. Under
            tracing as many are removed as can be, where that is fewer than were asked for.

    Returns:
        A mask of the paths and shapes of `mask`.

    Raises:
        MaskError: both or none of `rate` and `sparsity`, or one out of range; an unknown scope, or one that does not
            cover a leaf; a leaf that `granularity` does not fit; a combination that has no meaning, or a
            `max_layer_sparsity` under which too few can go; scores that do not fit the mask, or are NaN where it
            keeps; more than 4,294,967,040 units compared with each other.
        ConfigError: a text that is no granularity.

    Example:
        >>> mask = {"fc/kernel": jnp.ones((2, 2), bool)}
        >>> scores = {"fc/kernel": jnp.array([[0.1, 0.4], [0.3, 0.2]])}
        >>> jt.prune(mask, scores, sparsity=0.5)["fc/kernel"].astype(int).tolist()
        [[0, 1], [1, 0]]
        >>> jt.prune(mask, scores, sparsity=0.5, granularity="channel")["fc/kernel"].astype(int).tolist()
        [[0, 1], [0, 1]]
    """
    check_paths("the mask", mask)
    if not mask:
        raise MaskError("the mask has no leaves, so there is nothing to prune; see full_mask and its rules")
    granularity, chosen = granularity_of(granularity), scope_of(scope)
    _check_target(rate, sparsity, scope, chosen, granularity, max_layer_sparsity)
    check_scores(mask, scores)
    if isinstance(granularity, Pattern):
        granularity.check(mask)
        new, nan = granularity.choose(dict(mask), dict(scores))
        _check_nan(nan, "weights")
        return new
    units, unit_scores = dict(mask), dict(scores)
    if granularity != UNSTRUCTURED:
        units, unit_scores = pool_units(units, unit_scores, granularity)
    if chosen.ranks:
        unit_scores = load_object(chosen.ranks)(units, unit_scores)
    limited, possible = max_layer_sparsity < 1, None
    layout = group_layout(unit_scores, together=chosen.together and not limited)
    check_size(sum(layout.sizes) if chosen.together else max(layout.sizes))
    keys, kept, nan = ordered_keys(units, unit_scores, layout)
    if not is_traced(nan):
        kept, nan = jax.device_get((kept, nan))
        paths = [slot.path for slot in layout.slots]
        _check_nan(dict(zip(paths, nan, strict=True)), "weights" if granularity == UNSTRUCTURED else "units")
    if limited:
        keys, kept, possible = _protect_layers(units, keys, kept, layout, max_layer_sparsity)
        layout = group_layout(unit_scores, together=True)
    paths = tuple(sorted(mask))
    counts = UnitCounts(kept, layout.sizes, paths, tuple(np.shape(mask[path]) for path in paths))
    numbers = numbers_of(chosen, counts, rate=rate, sparsity=sparsity)
    if possible is not None:
        numbers = _most_possible(numbers, possible, counts, max_layer_sparsity, rate, sparsity)
    left = prune_lowest_k(units, keys, numbers, layout)
    return left if granularity == UNSTRUCTURED else expand_units(dict(mask), left, granularity)


def _protect_layers(
    units: Mask, keys: list[jax.Array], kept: Array, layers: GroupLayout, most: float
) -> tuple[list[jax.Array], Array, Array]:
    """The keys without those of the units that must stay in their layer; how many are kept, and how many may go."""
    numbers = jnp if is_traced(kept) else np
    can_go = kept - numbers.minimum(kept, least_kept(layers.sizes, most))
    best = prune_lowest_k(units, keys, can_go, layers)
    return protect(keys, best, layers), _sum(kept), _sum(can_go)


def _most_possible(
    wanted: Array,
    possible: Array,
    counts: UnitCounts,
    most: float,
    rate: Number | None,
    sparsity: Number | None,
) -> Array:
    """How many of all units are removed, uint32 [1]: under tracing as many as can be, else as many as are wanted."""
    if is_traced((wanted, possible)):
        return jnp.minimum(wanted, possible)
    if wanted > possible:
        target = f"rate={rate!r}" if sparsity is None else f"sparsity={sparsity!r}"
        (size,), (kept,) = counts.sizes, counts.kept
        reachable = size - int(kept) + int(possible[0])
        raise MaskError(
            f"{target} removes {wanted[0]} of {kept} units, with max_layer_sparsity={most!r} only {possible[0]} "
            f"can go (sparsity {reachable / size:.6g}); ask for less or allow more"
        )
    return wanted


def _sum(counts: Array) -> Array:
    return counts.sum(keepdims=True, dtype=np.uint32)


def _check_target(
    rate: Number | None,
    sparsity: Number | None,
    scope: ScopeLike,
    chosen: Scope,
    granularity: Granularity | Pattern,
    max_layer_sparsity: float,
) -> None:
    given = [f"{name}={share!r}" for name, share in (("rate", rate), ("sparsity", sparsity)) if share is not None]
    limited = not isinstance(max_layer_sparsity, int | float) or max_layer_sparsity != 1
    if limited:
        check_number("max_layer_sparsity", max_layer_sparsity, 0, 1)
        given.append(f"max_layer_sparsity={max_layer_sparsity!r}")
    if isinstance(granularity, Pattern):
        if given or scope != "global":
            extra = given[0] if given else f"scope={scope!r}"
            raise MaskError(f"{extra} with {granularity}: it fixes how many weights are removed; leave the other out")
        return
    if limited and not chosen.together:
        raise MaskError(f"max_layer_sparsity={max_layer_sparsity!r} with scope={scope!r}: it needs scope='global'")
    if isinstance(scope, Mapping):
        if given:
            raise MaskError(f"{given[0]} with scope={dict(scope)!r}: the dictionary gives the sparsities; leave it out")
        return
    if (rate is None) == (sparsity is None):
        raise MaskError(f"rate={rate!r}, sparsity={sparsity!r}: exactly one of them must be given")
    check_share(*(("rate", rate) if sparsity is None else ("sparsity", sparsity)))


def _check_nan(numbers: Mapping[Path, Any], what: str) -> None:
    if is_traced(numbers):
        return
    for path, number in jax.device_get(dict(numbers)).items():
        if number:
            raise MaskError(f"scores[{path!r}] is NaN for {number} kept {what}; NaN cannot be ranked")
