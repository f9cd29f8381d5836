"""Gradual pruning as an Optax adapter: the mask lives in the optimizer's state and follows a schedule."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxticket.core.checks import check_function, check_optimizer
from jaxticket.core.criteria.magnitude import magnitude
from jaxticket.core.errors import MaskError
from jaxticket.core.granularity import UNSTRUCTURED, Granularity, Pattern, granularity_of
from jaxticket.core.masks import DEFAULT_RULES, full_mask
from jaxticket.core.optax import KeepPrunedState, masked_update, zero_pruned
from jaxticket.core.paths import leaves, replace
from jaxticket.core.prune import prune
from jaxticket.core.rules import Rules, match_rules
from jaxticket.core.schedules import Schedule
from jaxticket.core.scopes import scope_of
from jaxticket.core.types import Mask, Params, PyTree, Scores


class GradualState(NamedTuple):
    """The state of `gradual`.

    Attributes:
        step: how many updates there were, int32 [].
        sparsity: the highest that the schedule has asked for so far, float32 [].
        pruned: the mask, and the wrapped optimizer's state.
    """

    step: jax.Array
    sparsity: jax.Array
    pruned: KeepPrunedState


def gradual(
    tx: optax.GradientTransformation,
    schedule: Schedule,
    *,
    scores: Callable[[Any, Mask], Scores] = magnitude,
    scope: str = "global",
    granularity: Granularity | str = UNSTRUCTURED,
    rules: Rules[bool | Callable[[Any], bool]] = DEFAULT_RULES,
) -> optax.GradientTransformationExtraArgs:
    """The optimizer `tx`, which prunes while it trains: after its update number t the sparsity is `schedule(t)`.

    It is gradual magnitude pruning (Zhu and Gupta, "To prune, or not to prune", 2017) with any schedule and any
    scores. All starts dense. The first update has t = 0, as Optax counts. Where `schedule(t)` is higher than ever
    before, the weights as they are after the update are scored and `prune` chooses; what goes is exactly zero in
    `params + updates`, and so are the parts of the optimizer's state that belong to it. A pruned weight stays pruned,
    whatever the schedule does later. The number pruned is `round(schedule(t) * all)` in float32, which of millions of
    weights may be a few more or less than the same in Python's arithmetic.

    Wrap the whole optimizer: what is chained outside would change the updates that make weights zero. With gradient
    accumulation, `MultiSteps(gradual(tx, ...), k)` is the right order: t counts the optimizer's steps, and weights go
    by whole gradients. `gradual(MultiSteps(tx, k), ...)` counts mini-batches, and prunes between them too.

    `init` and `update` may be traced by `jit`, `scan` and `vmap`, and parameters may be sharded over devices. `vmap`
    makes no difference between steps that prune and others, so that each of them scores the weights.

    Args:
        tx: any Optax optimizer.
        schedule: t -> sparsity in [0, 1], for a traced int32 t; `linear` or `cubic`, an Optax schedule, or your own.
        scores: (params, mask) -> a float array for every path of the mask, higher = keep; traceable and hashable, as
            any function is.
        scope: its name, as in `prune`.
        granularity: what is removed as one unit, as in `prune`; sparsities count units.
        rules: what is prunable, as in `full_mask`.

    Returns:
        A transformation that passes extra arguments on to `tx`, and whose `update` needs the parameters. `mask_of`
        finds the mask in its state.

    Raises:
        MaskError: a scope or granularity that fixes its own sparsity, or an unknown scope. From `init`: an array
            leaf that no rule covers. From `update`: no parameters, or nothing prunable in them.

    Example:
        >>> import optax
        >>> params = {"fc": {"kernel": jnp.array([[1.0, 2.0, 3.0, 4.0]])}}
        >>> tx = jt.gradual(optax.sgd(0.1), jt.linear(0, 2, 0.0, 0.5))
        >>> state = tx.init(params)
        >>> for _ in range(3):
        ...     _, state = tx.update(jax.tree.map(jnp.zeros_like, params), state, params)
        >>> jt.mask_of(state)["fc/kernel"].tolist()
        [[False, False, True, True]]
    """
    check_optimizer(tx)
    check_function("schedule", schedule)
    check_function("scores", scores)
    unit = granularity_of(granularity)
    for name, value, kind in (("scope", scope, Mapping), ("granularity", unit, Pattern)):
        if isinstance(value, kind):
            raise MaskError(
                f"{name}={value!r} fixes its own sparsity; in gradual it comes from the schedule, choose another"
            )
    scope_of(scope)
    match_rules(rules, ())

    def init(params: Params) -> GradualState:
        # Optax asks with a placeholder what in a state is like parameters; one leaf then stands for the whole mask.
        mask: Any = full_mask(params, rules) if jax.tree.leaves(params) else jnp.ones((), bool)
        pruned = KeepPrunedState(mask, tx.init(params))
        return GradualState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32), pruned)

    def update(updates: PyTree, state: Any, params: Params = None, **extra: Any) -> tuple[Any, GradualState]:
        if params is None:
            raise MaskError("gradual scores the parameters; call update(grads, state, params)")
        grads, (mask, inner) = updates, state.pruned
        updates, inner = masked_update(tx, grads, inner, params, mask, **extra)
        sparsity = jnp.asarray(schedule(state.step), jnp.float32)
        # The mask itself tells no more than the highest sparsity, and would have to be counted at every step.
        higher = sparsity > state.sparsity
        mask = _pruned_if(higher, mask, params, updates, sparsity, scores=scores, scope=scope, granularity=unit)
        state = GradualState(
            jnp.asarray(optax.safe_increment(state.step)),
            jnp.maximum(sparsity, state.sparsity),
            KeepPrunedState(mask, zero_pruned(inner, grads, mask)),
        )
        return _to_zero(updates, params, mask), state

    return optax.GradientTransformationExtraArgs(init, update)


# Compiled by itself, for those who call `update` outside of `jit`: `cond` would be compiled anew at every step.
@functools.partial(jax.jit, static_argnames=("scores", "scope", "granularity"))
def _pruned_if(
    higher: jax.Array,
    mask: Mask,
    params: Params,
    updates: PyTree,
    sparsity: jax.Array,
    *,
    scores: Callable[[Any, Mask], Scores],
    scope: str,
    granularity: Granularity | Pattern,
) -> Mask:
    """The mask pruned to `sparsity` by the scores of `params + updates` if `higher`, else as it is."""

    def pruned(mask: Mask) -> Mask:
        trained = optax.apply_updates(params, updates)
        return prune(mask, scores(trained, mask), sparsity=sparsity, scope=scope, granularity=granularity)

    return lax.cond(higher, pruned, dict, mask)


def _to_zero(updates: PyTree, params: Params, mask: Mask) -> Any:
    """The updates, but those that take the parameter to zero where it is pruned."""
    given, weights = leaves(updates), leaves(params)

    def to_zero(update: jax.Array, weight: jax.Array, kept: jax.Array) -> jax.Array:
        # In a narrower type than the weight's the difference could be rounded.
        dtype = jnp.promote_types(update.dtype, weight.dtype)
        weight = weight.astype(dtype)
        return jnp.where(kept, update.astype(dtype), jnp.zeros_like(weight) - weight)

    return replace(updates, {path: to_zero(given[path], weights[path], kept) for path, kept in mask.items()})
