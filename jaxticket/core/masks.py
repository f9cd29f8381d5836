"""Masks as plain data: `dict[path, bool array]`, True = kept.

The keys of a mask are the prunable set; a leaf of the parameters that is not a key is dense.
"""

import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxticket.core.checks import check_params, check_paths, shown
from jaxticket.core.errors import MaskError
from jaxticket.core.paths import leaves, replace
from jaxticket.core.rules import Rules, match_rules
from jaxticket.core.types import Mask, Params, Path, PyTree


def _is_matrix(leaf: Any) -> bool:
    return len(leaf.shape) >= 2


DEFAULT_RULES: Rules[bool | Callable[[Any], bool]] = (
    (r"(.*/)?(stem|head)/.*", False),
    (r"(.*/)?kernel", _is_matrix),
    (r".*", False),
)
"""Every `kernel` of rank two or more is prunable, except in a module named `stem` or `head` at any depth."""


def full_mask(params: Params, rules: Rules[bool | Callable[[Any], bool]] = DEFAULT_RULES) -> Mask:
    """The mask that keeps every prunable weight.

    Args:
        params: any pytree of arrays; they may be abstract, such as `jax.ShapeDtypeStruct`.
        rules: ordered (regular expression, value) pairs over whole paths, the first match wins. The value says whether
            the leaf is prunable: True, False, or a function of the leaf.

    Returns:
        Path -> all-True array of the leaf's shape, laid out over devices as the leaf is.

    Raises:
        MaskError: there are no arrays, or one that no rule covers.

    Example:
        >>> params = {"fc": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}}
        >>> {path: kept.shape for path, kept in jt.full_mask(params).items()}
        {'fc/kernel': (2, 3)}
    """
    arrays = {path: leaf for path, leaf in leaves(params).items() if hasattr(leaf, "shape")}
    check_params("params", params, arrays)
    prunable = match_rules(rules, arrays)

    def chosen(path: Path, leaf: Any) -> bool:
        value = prunable[path]
        if not callable(value) and not isinstance(value, bool | np.bool_):
            raise MaskError(f"rules give {path!r} the value {shown(value)}; it must be True, False or a function")
        return bool(value(leaf) if callable(value) else value)

    return {
        path: jnp.ones(leaf.shape, bool, device=sharding_of(leaf))
        for path, leaf in arrays.items()
        if chosen(path, leaf)
    }


def apply_mask(params: Params, mask: Mask) -> Any:
    """`params` with exact zeros (never -0.0, whatever was there) where the mask is False.

    Args:
        params: any pytree of arrays.
        mask: path -> bool array.

    Raises:
        MaskError: a mask that does not fit `params`.

    Example:
        >>> params = {"fc": {"kernel": jnp.array([[0.5, -2.0], [1.0, 0.1]])}}
        >>> mask = {"fc/kernel": jnp.array([[True, False], [True, True]])}
        >>> jt.apply_mask(params, mask)["fc"]["kernel"].tolist()
        [[0.5, 0.0], [1.0, 0.10...]]
    """
    check_fit(params, mask)
    found = leaves(params)
    return replace(
        params, {path: jnp.where(kept, found[path], jnp.zeros_like(found[path])) for path, kept in mask.items()}
    )


def count(mask: Mask) -> tuple[int, int]:
    """How many weights are kept, and how many the prunable set has.

    Raises:
        MaskError: the mask is traced, so that its values are not known.

    Example:
        >>> mask = {"fc/kernel": jnp.array([[True, False], [True, True]])}
        >>> jt.count(mask)
        (3, 4)
    """
    kept = _kept(mask)
    return sum(kept.values()), sum(math.prod(np.shape(leaf)) for leaf in mask.values())


def sparsity(mask: Mask) -> float:
    """The pruned share of the prunable set, in [0, 1]; 0 where nothing is prunable.

    Raises:
        MaskError: the mask is traced, so that its values are not known.

    Example:
        >>> mask = {"fc/kernel": jnp.array([[True, False], [True, True]])}
        >>> jt.sparsity(mask)
        0.25
    """
    kept, total = count(mask)
    return (total - kept) / total if total else 0.0


def layer_sparsity(mask: Mask) -> dict[Path, float]:
    """The pruned share of every leaf, in [0, 1], by path.

    Raises:
        MaskError: the mask is traced, so that its values are not known.

    Example:
        >>> mask = {"fc/kernel": jnp.array([[True, False], [True, True]])}
        >>> jt.layer_sparsity(mask)
        {'fc/kernel': 0.25}
    """
    counted = _kept(mask)
    sizes = {path: math.prod(np.shape(leaf)) for path, leaf in mask.items()}
    return {path: (sizes[path] - kept) / max(sizes[path], 1) for path, kept in counted.items()}


def sparsity_total(params: Params, mask: Mask) -> float:
    """The pruned share of all weights: leaves of rank two or more, normalisation scales, and the mask's own.

    Biases and running statistics are not counted. `params` may be abstract.

    Raises:
        MaskError: a mask that does not fit `params`, or is traced.

    Example:
        >>> params = {"fc": {"kernel": jnp.ones((2, 2))}, "head": {"kernel": jnp.ones((2, 2))}}
        >>> mask = {"fc/kernel": jnp.array([[True, False], [True, True]])}
        >>> jt.sparsity_total(params, mask)  # one of eight weights
        0.125
    """
    check_fit(params, mask)
    total = sum(
        math.prod(leaf.shape)
        for path, leaf in leaves(params).items()
        if hasattr(leaf, "shape") and (_is_matrix(leaf) or path.split("/")[-1] == "scale" or path in mask)
    )
    kept, prunable = count(mask)
    return (prunable - kept) / total if total else 0.0


def intersect(*masks: Mask) -> Mask:
    """The mask that keeps what every one of `masks` keeps.

    Raises:
        MaskError: no mask, or masks of other paths or shapes.

    Example:
        >>> a, b = {"w": jnp.array([True, True, False])}, {"w": jnp.array([True, False, False])}
        >>> jt.intersect(a, b)["w"].tolist()
        [True, False, False]
    """
    return _combine(operator.and_, masks)


def union(*masks: Mask) -> Mask:
    """The mask that keeps what any of `masks` keeps.

    Raises:
        MaskError: no mask, or masks of other paths or shapes.

    Example:
        >>> a, b = {"w": jnp.array([True, True, False])}, {"w": jnp.array([True, False, False])}
        >>> jt.union(a, b)["w"].tolist()
        [True, True, False]
    """
    return _combine(operator.or_, masks)


def distance(a: Mask, b: Mask) -> float:
    """The normalised Hamming distance: the share of weights on which two masks differ, in [0, 1].

    It is the mask distance of You et al., "Drawing Early-Bird Tickets" (ICLR 2020), section 3.2.

    Raises:
        MaskError: masks of other paths or shapes, or traced ones.

    Example:
        >>> a, b = {"w": jnp.array([True, True, False, False])}, {"w": jnp.array([True, False, False, False])}
        >>> jt.distance(a, b)
        0.25
    """
    differing, total = count(_combine(operator.xor, (a, b)))
    return differing / total if total else 0.0


def check_fit(tree: PyTree, mask: Mask) -> None:
    """Makes sure that every leaf of `mask` is boolean and has a leaf of its path and shape in `tree`.

    Args:
        tree: parameters, gradients or another mask; arrays may be abstract or traced.
        mask: path -> bool array.

    Raises:
        MaskError: naming the first path that does not fit.
    """
    check_paths("the mask", mask)
    found = leaves(tree)
    for path, kept in sorted(mask.items()):
        if getattr(kept, "dtype", None) != np.bool_:
            raise MaskError(f"mask[{path!r}] is {_kind(kept)}; it must be a bool array, True = kept")
        if path not in found:
            raise MaskError(
                f"the mask has {path!r}, the tree has no such leaf; make the mask from a tree of this structure"
            )
        if np.shape(kept) != np.shape(found[path]):
            raise MaskError(
                f"mask[{path!r}] has shape {np.shape(kept)}, the tree's leaf {np.shape(found[path])}; "
                "they must be the same"
            )
        check_alive(f"mask[{path!r}]", kept)
        check_alive(f"the tree's leaf {path!r}", found[path])


def check_alive(name: str, leaf: object) -> None:
    """Makes sure that an array was not given away to a computation, or raises `MaskError`."""
    if isinstance(leaf, jax.Array) and not is_traced(leaf) and leaf.is_deleted():
        raise MaskError(f"{name} is deleted: its buffer was donated to a computation; use what that returned")


def check_scores(mask: Mask, scores: Mapping[Path, Any]) -> None:
    """Makes sure that a mask has leaves, and that scores are float arrays of its paths and shapes.

    Raises:
        MaskError: naming the first path that does not fit.
    """
    check_paths("the mask", mask)
    check_paths("the scores", scores)
    if not mask:
        raise MaskError("the mask has no leaves, so nothing can be pruned; check the rules it was made with")
    for path, leaf in scores.items():
        if path in mask and not hasattr(leaf, "dtype"):
            raise MaskError(f"scores[{path!r}] is {_kind(leaf)}; it must be a float array")
    check_fit(dict(scores), mask)
    for path, leaf in scores.items():
        if path not in mask:
            raise MaskError(f"the scores have {path!r}, the mask has no such leaf; score prunable leaves only")
        if not jnp.issubdtype(getattr(leaf, "dtype", np.dtype(object)), jnp.floating):
            raise MaskError(f"scores[{path!r}] is {_kind(leaf)}; it must be a float array")


def is_traced(tree: PyTree) -> bool:
    """Whether any leaf of `tree` is traced by `jit`, `vmap` or `grad`, so that its value is not known."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


def sharding_of(leaf: object) -> Any:
    """The sharding of a leaf that lies on several devices; None for every other one, and where it is not known."""
    if isinstance(leaf, jax.Array) and not is_traced(leaf) and len(leaf.sharding.device_set) > 1:
        return leaf.sharding
    return None


def _combine(operation: Callable[[Any, Any], Any], masks: tuple[Mask, ...]) -> Mask:
    if not masks:
        raise MaskError("no mask was given; at least one is needed")
    first, *others = masks
    check_fit(first, first)
    for other in others:
        check_fit(first, other)
        check_fit(other, first)
    return {path: functools.reduce(operation, (jnp.asarray(mask[path]) for mask in masks)) for path in sorted(first)}


def _kept(mask: Mask) -> dict[Path, int]:
    check_fit(mask, mask)
    if is_traced(mask):
        raise MaskError("the mask is traced, so its weights cannot be counted; do it outside of jit and vmap")
    return {path: int(kept) for path, kept in sorted(_true_counts(dict(mask)).items())}


@jax.jit
def _true_counts(mask: Mask) -> dict[Path, jax.Array]:
    return {path: jnp.sum(kept, dtype=jnp.uint32) for path, kept in mask.items()}


def _kind(leaf: Any) -> str:
    return f"of dtype {leaf.dtype}" if hasattr(leaf, "dtype") else f"a {type(leaf).__name__}"
