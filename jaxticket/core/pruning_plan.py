"""What pruning would do: every array of a network, what would go from it, and why it may not be pruned."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.checks import check_function
from jaxticket.core.criteria.magnitude import magnitude
from jaxticket.core.errors import MaskError
from jaxticket.core.granularity import UNSTRUCTURED, Granularity, Pattern, granularity_of
from jaxticket.core.masks import DEFAULT_RULES, check_fit, full_mask, layer_sparsity
from jaxticket.core.paths import leaves
from jaxticket.core.prune import prune
from jaxticket.core.pruning_plan_table import PlanRow, PruningPlan, pruned_share
from jaxticket.core.rules import Rules, match_rules
from jaxticket.core.scope_counts import UnitCounts, least_kept, numbers_of
from jaxticket.core.scopes import ScopeLike, scope_of
from jaxticket.core.types import Array, Mask, Number, Params, Path, Scores


def plan(
    params: Params,
    *,
    rules: Rules[bool | Callable[[Any], bool]] = DEFAULT_RULES,
    rate: float | None = None,
    sparsity: float | None = None,
    scope: ScopeLike = "global",
    granularity: Granularity | Pattern | str = UNSTRUCTURED,
    max_layer_sparsity: float = 1.0,
    scores: Callable[[Params, Mask], Scores] = magnitude,
    mask: Mask | None = None,
) -> PruningPlan:
    """What `prune` would do to a network, and to which of its arrays it may do nothing.

    Parameters may be abstract, such as `jax.ShapeDtypeStruct`; nothing is scored then and there is no mask. What does
    not depend on scores is exact all the same: with single weights the number kept in all, with every scope but
    'global' that of each layer too, and with `n_of_m` both. With blocks and channels, numbers of weights do depend on
    scores, and are None.

    Args:
        params: any pytree of arrays.
        rules: what is prunable, as in `full_mask`.
        rate: as in `prune`.
        sparsity: as in `prune`.
        scope: as in `prune`.
        granularity: as in `prune`.
        max_layer_sparsity: as in `prune`.
        scores: (params, mask) -> a float array for every path of the mask, higher = keep.
        mask: what is kept so far, path -> bool array; then its paths are what is prunable, and `rules` are not used.

    Returns:
        The plan; its `mask` is what `prune` returns for the same arguments.

    Raises:
        MaskError: what `prune` raises, an array leaf that no rule covers, or a mask that does not fit `params`.

    Example:
        >>> params = {"fc": {"kernel": jnp.ones((4, 4)), "bias": jnp.ones(4)}}
        >>> plan = jt.plan(params, sparsity=0.75)
        >>> plan.prunable, plan.kept_after
        (16, 4)
        >>> [(row.path, row.reason) for row in plan.rows]
        [('fc/bias', "rule '.*'"), ('fc/kernel', None)]
    """
    check_function("scores", scores)
    granularity = granularity_of(granularity)
    arrays = {path: leaf for path, leaf in leaves(params).items() if hasattr(leaf, "shape")}
    if mask is None:
        prunable: Mask = jax.eval_shape(lambda: full_mask(params, rules))
        reasons = _reasons(arrays, rules)
        before = _sizes(prunable)
    else:
        check_fit(params, mask)
        prunable, reasons, before = mask, dict.fromkeys(arrays, "not in the mask"), _kept(mask)
    choose = functools.partial(
        prune, rate=rate, sparsity=sparsity, scope=scope, granularity=granularity, max_layer_sparsity=max_layer_sparsity
    )
    if any(isinstance(arrays[path], jax.ShapeDtypeStruct) for path in prunable):
        # For its errors.
        jax.eval_shape(choose, prunable, {p: jax.ShapeDtypeStruct(arrays[p].shape, jnp.float32) for p in prunable})
        new_mask = None
        if isinstance(granularity, Pattern):
            after = {path: granularity.count(_known(kept)) for path, kept in prunable.items()}
        elif granularity == UNSTRUCTURED:
            after = _kept_without_scores(prunable, before, rate, sparsity, scope, max_layer_sparsity)
        else:
            after = None
    else:
        mask = full_mask(params, rules) if mask is None else mask
        new_mask = choose(mask, scores(params, mask))
        after = _kept(new_mask)

    by_leaf = after if isinstance(after, dict) else {}
    rows = tuple(
        PlanRow(
            path=path,
            shape=tuple(leaf.shape),
            dtype=str(leaf.dtype),
            size=math.prod(leaf.shape),
            reason=None if path in prunable else reasons[path],
            kept_before=before.get(path),
            kept_after=by_leaf.get(path),
            sparsity=pruned_share(by_leaf.get(path), math.prod(leaf.shape)),
        )
        for path, leaf in arrays.items()
    )
    return PruningPlan(
        rows=rows,
        size=sum(row.size for row in rows),
        prunable=sum(_sizes(prunable).values()),
        kept_before=sum(before.values()),
        kept_after=sum(after.values()) if isinstance(after, dict) else after,
        mask=new_mask,
    )


def _reasons(arrays: Mapping[Path, Any], rules: Rules[Any]) -> dict[Path, str]:
    """For every array the rule that decides on it, in words that fit if it excludes it."""

    def words(expression: str, value: Any, leaf: Any) -> str:
        if callable(value) and len(leaf.shape) < 2:
            return f"rank {len(leaf.shape)}, rule {expression!r}"
        return f"rule {expression!r}"

    decided = match_rules([(expression, (expression, value)) for expression, value in rules], arrays)
    return {path: words(*decided[path], leaf) for path, leaf in arrays.items()}


def _kept_without_scores(
    prunable: Mask,
    before: Mapping[Path, int],
    rate: Number | None,
    sparsity: Number | None,
    scope: ScopeLike,
    max_layer_sparsity: float,
) -> dict[Path, int] | int:
    """How many weights each leaf would keep, or where that depends on their scores, how many all would."""
    chosen, paths = scope_of(scope), tuple(sorted(prunable))
    shapes = tuple(np.shape(prunable[path]) for path in paths)
    sizes = tuple(math.prod(shape) for shape in shapes)
    kept = np.array([before[path] for path in paths], np.uint32)
    possible = int((kept - np.minimum(kept, least_kept(sizes, max_layer_sparsity))).sum())
    if chosen.together:
        kept, sizes = kept.sum(keepdims=True, dtype=np.uint32), (sum(sizes),)
    gone = numbers_of(chosen, UnitCounts(kept, sizes, paths, shapes), rate=rate, sparsity=sparsity)
    if not chosen.together:
        return dict(zip(paths, (kept - gone).tolist(), strict=True))
    if gone[0] > possible:
        raise MaskError(
            f"{gone[0]} of {kept[0]} weights would go, with max_layer_sparsity={max_layer_sparsity!r} only "
            f"{possible} can; ask for less or allow more"
        )
    return int(kept[0] - gone[0])


def _known(kept: "jax.ShapeDtypeStruct | Array") -> np.ndarray:
    """A leaf of a mask, all True where it is abstract."""
    return np.ones(kept.shape, bool) if isinstance(kept, jax.ShapeDtypeStruct) else np.asarray(kept)


def _sizes(mask: Mask) -> dict[Path, int]:
    return {path: math.prod(np.shape(kept)) for path, kept in sorted(mask.items())}


def _kept(mask: Mask) -> dict[Path, int]:
    sizes = _sizes(mask)
    return {path: sizes[path] - round(share * sizes[path]) for path, share in layer_sparsity(mask).items()}
