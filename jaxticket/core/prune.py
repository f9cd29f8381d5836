"""Pruning: which weights go, given their scores; exact in number, stable in ties, the same on any number of devices.

Whatever is asked, it takes the same steps: scores of weights are pooled into scores of units (granularity), a scope
says which leaves are compared with each other and how many units go from each group, `lowest.remove_lowest` removes
the lowest, and the units that stay are expanded to weights.
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
    NOfM,
    check_granularity,
    check_n_of_m,
    expand_units,
    keep_n_of_m,
    pool_units,
)
from jaxticket.core.masks import check_scores, is_traced
from jaxticket.core.scopes import (
    Scope,
    erk_numbers_to_remove,
    groups_of,
    least_kept,
    numbers_to_remove,
    sparsity_by_rules,
)
from jaxticket.core.topk import Layout, hide, layout_of, ordered_keys, remove_lowest
from jaxticket.core.types import Mask, Path

# Positions and counts are unsigned 32-bit integers; this is the largest of them that float32 holds too.
MOST_PER_GROUP = 2**32 - 2**8


def prune(
    mask: Mask,
    scores: Mapping[Path, Any],
    *,
    rate: Any = None,
    sparsity: Any = None,
    scope: Scope = "global",
    granularity: Granularity | NOfM = UNSTRUCTURED,
    max_layer_sparsity: float = 1.0,
) -> Mask:
    """The mask without its lowest-scored units, an exact number of them; a unit is a weight if nothing else is said.

    What is pruned already is never considered, so the masks of successive calls are nested. Among equal scores the
    first in the order of (sorted path, C-order index) goes first; -0.0 equals 0.0.

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
        scope: 'global' compares all units with each other and counts over the whole mask; 'layer' does both within
            each leaf; 'erk' counts over the whole mask, and gives each leaf a density in proportion to the sum of its
            dimensions over their product (`scopes.erk_numbers_to_remove`); a dictionary {regular expression: sparsity}
            gives each leaf the sparsity of the first expression that matches its whole path, and neither `rate` nor
            `sparsity` is given then.
        granularity: what goes as one piece: `UNSTRUCTURED`, `block(rows, cols)`, `channel()` or any `Granularity`.
            A unit is kept as long as any weight of it is, and rates and sparsities count units, whatever their
            size. `n_of_m(n, m)` says itself how many weights go, so `rate`, `sparsity` and `scope` are not given.
        max_layer_sparsity: with scope 'global', the largest share of its units that any leaf may lose, in [0, 1]. A
            leaf keeps at least its best `ceil((1 - max_layer_sparsity) * all)`, and others lose more instead. Under
            tracing as many go as can, where that is fewer than were asked for.

    Returns:
        A mask of the paths and shapes of `mask`.

    Raises:
        MaskError: both or none of `rate` and `sparsity`, or one out of range; an unknown scope, or one that does not
            cover a leaf; a leaf that `granularity` does not fit; a combination that has no meaning, or a
            `max_layer_sparsity` under which too few can go; scores that do not fit the mask, or are NaN where it
            keeps; more than 4,294,967,040 units compared with each other.
    """
    check_paths("the mask", mask)
    if not mask:
        raise MaskError("the mask has no leaves, so there is nothing to prune; see full_mask and its rules")
    _check_demand(rate, sparsity, scope, granularity, max_layer_sparsity)
    check_scores(mask, scores)
    if isinstance(granularity, NOfM):
        check_n_of_m(mask, granularity)
        new, nan = keep_n_of_m(dict(mask), dict(scores), granularity)
        _check_nan(nan, "weights")
        return new
    units, unit_scores = dict(mask), dict(scores)
    if granularity != UNSTRUCTURED:
        units, unit_scores = pool_units(units, unit_scores, granularity)
    groups = groups_of("layer" if max_layer_sparsity < 1 else scope, mask)
    layout = layout_of(unit_scores, groups)
    _check_sizes(layout.sizes, scope)
    keys, kept, nan = ordered_keys(units, unit_scores, layout)
    if not is_traced(nan):
        kept, nan = jax.device_get((kept, nan))
        paths = [place.path for place in layout.places]
        _check_nan(dict(zip(paths, nan, strict=True)), "weights" if granularity == UNSTRUCTURED else "units")
    if max_layer_sparsity < 1:
        keys, numbers = _protect_layers(units, keys, kept, layout, max_layer_sparsity, rate, sparsity)
        layout = layout_of(unit_scores, groups_of(scope, mask))
    elif isinstance(scope, Mapping):
        numbers = numbers_to_remove(kept, layout.sizes, sparsity=_shares(scope, mask))
    elif scope == "erk":
        shapes = [np.shape(mask[path]) for path in sorted(mask)]
        numbers = erk_numbers_to_remove(kept, layout.sizes, shapes, rate=rate, sparsity=sparsity)
    else:
        numbers = numbers_to_remove(kept, layout.sizes, rate=rate, sparsity=sparsity)
    left = remove_lowest(units, keys, numbers, layout)
    return left if granularity == UNSTRUCTURED else expand_units(dict(mask), left, granularity)


def _protect_layers(
    units: Mask, keys: list[jax.Array], kept: Any, layers: Layout, most: float, rate: Any, sparsity: Any
) -> tuple[list[jax.Array], Any]:
    """The keys without those of the units that must stay in their layer, and how many of all units go, uint32 [1]."""
    numbers = jnp if is_traced(kept) else np
    can_go = kept - numbers.minimum(kept, least_kept(layers.sizes, most))
    best = remove_lowest(units, keys, can_go, layers)
    size, all_kept, possible = sum(layers.sizes), _sum(kept), _sum(can_go)
    wanted = numbers_to_remove(all_kept, (size,), rate=rate, sparsity=sparsity)
    if is_traced((wanted, possible)):
        wanted = jnp.minimum(wanted, possible)
    elif wanted > possible:
        demand = f"rate={rate!r}" if sparsity is None else f"sparsity={sparsity!r}"
        reachable = size - int(all_kept[0]) + int(possible[0])
        raise MaskError(
            f"{demand} removes {wanted[0]} of {all_kept[0]} units, with max_layer_sparsity={most!r} only {possible[0]} "
            f"can go (sparsity {reachable / size:.6g}); ask for less or allow more"
        )
    return hide(keys, best, layers), wanted


def _sum(counts: Any) -> Any:
    return counts.sum(keepdims=True, dtype=np.uint32)


def _shares(scope: Mapping[str, Any], mask: Mask) -> list[Any]:
    shares = sparsity_by_rules(scope, mask)
    for share in shares:
        _check_share("sparsity", share)
    return shares


def _check_demand(
    rate: Any, sparsity: Any, scope: Scope, granularity: Granularity | NOfM, max_layer_sparsity: float
) -> None:
    check_granularity(granularity)
    given = [f"{name}={share!r}" for name, share in (("rate", rate), ("sparsity", sparsity)) if share is not None]
    limited = not isinstance(max_layer_sparsity, int | float) or max_layer_sparsity != 1
    if limited:
        _check_share("max_layer_sparsity", max_layer_sparsity)
        given.append(f"max_layer_sparsity={max_layer_sparsity!r}")
    if isinstance(granularity, NOfM):
        if given or scope != "global":
            extra = given[0] if given else f"scope={scope!r}"
            raise MaskError(f"{extra} with {granularity}: it says itself how many weights go; leave the other out")
        return
    if limited and scope != "global":
        raise MaskError(f"max_layer_sparsity={max_layer_sparsity!r} with scope={scope!r}: it needs scope='global'")
    if isinstance(scope, Mapping):
        if given:
            raise MaskError(f"{given[0]} with scope={dict(scope)!r}: the dictionary gives the sparsities; leave it out")
        return
    if (rate is None) == (sparsity is None):
        raise MaskError(f"rate={rate!r}, sparsity={sparsity!r}: exactly one of them must be given")
    _check_share(*(("rate", rate) if sparsity is None else ("sparsity", sparsity)))


def _check_share(name: str, share: Any) -> None:
    if is_traced(share) and share.ndim == 0 and name != "max_layer_sparsity":
        return
    check_number(name, share, 0, 1)


def _check_sizes(sizes: tuple[int, ...], scope: Scope) -> None:
    compared = max(sizes) if scope == "layer" or isinstance(scope, Mapping) else sum(sizes)
    if compared > MOST_PER_GROUP:
        raise MaskError(
            f"scope={scope!r} compares {compared} units with each other, at most {MOST_PER_GROUP} can be; "
            "prune parts of the mask one by one, or with scope='layer'"
        )


def _check_nan(numbers: Mapping[Path, Any], what: str) -> None:
    if is_traced(numbers):
        return
    for path, number in jax.device_get(dict(numbers)).items():
        if number:
            raise MaskError(f"scores[{path!r}] is NaN for {number} kept {what}; NaN cannot be ranked")
