"""Optax adapters: any optimizer, kept from touching what is pruned."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxticket.core.checks import check_optimizer
from jaxticket.core.errors import MaskError
from jaxticket.core.masks import apply_mask, check_fit
from jaxticket.core.paths import leaves, path_string
from jaxticket.core.types import Mask, Params, Path, PyTree


class KeepPrunedState(NamedTuple):
    """The state of `keep_pruned`: the mask, data like any other state, and the wrapped optimizer's state."""

    mask: Mask
    inner: Any


def keep_pruned(tx: optax.GradientTransformation, mask: Mask) -> optax.GradientTransformationExtraArgs:
    """The optimizer `tx` for a pruned network: what `mask` prunes stays exactly zero, moments included.

    Wrap the whole optimizer: what is chained outside is not masked. Parameters must start masked (`apply_mask`). The
    mask is read once, by `init`, and lives in the state from then on, so that a compiled step serves any mask;
    `mask_of` finds it there.

    Args:
        tx: any Optax optimizer.
        mask: path -> bool array, True = kept.

    Returns:
        A transformation that passes extra arguments on to `tx`. Its functions raise `MaskError` for a mask that
        does not fit the parameters.

    Example:
        >>> import optax
        >>> params = {"fc": {"kernel": jnp.array([[1.0, 2.0]])}}
        >>> mask = {"fc/kernel": jnp.array([[True, False]])}
        >>> params, tx = jt.apply_mask(params, mask), jt.keep_pruned(optax.sgd(0.5), mask)
        >>> updates, _ = tx.update({"fc": {"kernel": jnp.ones((1, 2))}}, tx.init(params), params)
        >>> optax.apply_updates(params, updates)["fc"]["kernel"].tolist()
        [[0.5, 0.0]]
    """
    check_optimizer(tx)
    check_fit(mask, mask)
    tx = optax.with_extra_args_support(tx)

    def init(params: Params) -> KeepPrunedState:
        own_mask = {path: jnp.array(kept, copy=True) for path, kept in mask.items()}
        if not jax.tree.leaves(params):  # the placeholder with which Optax asks what in a state is like parameters
            return KeepPrunedState(own_mask, tx.init(params))
        params = apply_mask(params, mask)
        return KeepPrunedState(own_mask, zero_pruned(tx.init(params), params, mask))

    def update(updates: PyTree, state: Any, params: Params = None, **extra: Any) -> tuple[Any, KeepPrunedState]:
        updates, inner = masked_update(tx, updates, state.inner, params, state.mask, **extra)
        return updates, KeepPrunedState(state.mask, inner)

    return optax.GradientTransformationExtraArgs(init, update)


def masked_update(
    tx: optax.GradientTransformation, grads: PyTree, opt_state: PyTree, params: Params, mask: Mask, **extra: Any
) -> tuple[Any, Any]:
    """One update of `tx` that leaves what is pruned at zero, in the parameters and in the optimizer's state.

    Gradients are masked before the update, so that no norm or moment feels those of pruned weights; updates after
    it, for optimizers that mix weights (Muon) or add noise; and the parts of the state that have the path and shape
    of a pruned leaf, for moments that do not start or stay at zero by themselves (Adagrad, AdaBelief).

    Args:
        tx: any Optax optimizer.
        grads: the gradients, a tree like the parameters.
        opt_state: the state of `tx`.
        params: the parameters, zero where pruned; None for optimizers that need none.
        mask: path -> bool array, True = kept.
        **extra: further arguments of the optimizer's update.

    Returns:
        The updates and the new state of `tx`.

    Raises:
        MaskError: a mask that does not fit `grads`.
    """
    updates, opt_state = optax.with_extra_args_support(tx).update(apply_mask(grads, mask), opt_state, params, **extra)
    return apply_mask(updates, mask), zero_pruned(opt_state, grads, mask)


def mask_of(opt_state: PyTree) -> Mask:
    """The mask in an optimizer state, however deep `keep_pruned` or `gradual` is wrapped in it.

    Raises:
        MaskError: the state has no mask, or several.

    Example:
        >>> import optax
        >>> params = {"fc": {"kernel": jnp.array([[1.0, 2.0]])}}
        >>> mask = {"fc/kernel": jnp.array([[True, False]])}
        >>> state = jt.keep_pruned(optax.adam(0.1), mask).init(params)
        >>> jt.mask_of(state)["fc/kernel"].tolist()
        [[True, False]]
    """
    masks = _masks(opt_state)
    if len(masks) != 1:
        raise MaskError(
            f"the optimizer state has {len(masks)} masks; wrap the optimizer in keep_pruned or gradual, once"
        )
    return masks[0]


def _masks(opt_state: PyTree) -> list[Mask]:
    nodes = [node for node in jax.tree.leaves(opt_state, is_leaf=_has_mask) if _has_mask(node)]
    return [mask for node in nodes for mask in (node.mask, *_masks(node.inner))]


def _has_mask(node: object) -> bool:
    return isinstance(node, KeepPrunedState)


def zero_pruned(opt_state: PyTree, params: Params, mask: Mask) -> Any:
    """The state with zeros where the parameter that a leaf belongs to is pruned.

    A leaf of the state belongs to the parameter whose path its own path ends with and whose shape it has, whatever
    holds it: `0/mu/conv/kernel` belongs to `conv/kernel`.

    Args:
        opt_state: the state of any Optax optimizer.
        params: the parameters, or a tree like them.
        mask: path -> bool array, True = kept.
    """
    shapes = {path: np.shape(leaf) for path, leaf in leaves(params).items()}

    def owner(path: Path, shape: tuple[int, ...]) -> Path | None:
        parts = path.split("/")
        tails = ("/".join(parts[i:]) for i in range(len(parts)))
        return next((tail for tail in tails if shapes.get(tail) == shape), None)

    def zero(key_path: Any, leaf: Any) -> Any:
        path = owner(path_string(key_path), np.shape(leaf))
        return jnp.where(mask[path], leaf, jnp.zeros_like(leaf)) if path in mask else leaf

    return jax.tree_util.tree_map_with_path(zero, opt_state)
