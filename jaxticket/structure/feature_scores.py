"""Scores of output channels from what a layer gives out."""

from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxticket.core.errors import MaskError

FeatureKind = Literal["l1", "l2", "saliency"]
_KINDS = ("l1", "l2", "saliency")


def feature_scores(features: Any, kind: FeatureKind, gradients: Any = None) -> Any:
    """One score per channel, summed over the batch and over space; for `refill`.

    They are the criteria that Chen et al., "Coarsening the Granularity" (ICML 2022), compare with the magnitude of
    weights. Jit-able; sums are at least float32.

    Args:
        features: float array [batch, *space, channels], or a pytree of them such as path -> array: the layer's own
            output on one batch, before normalisation and activation, in evaluation mode.
        kind: 'l1' sums |F|, 'l2' sums F ** 2, 'saliency' sums |F * dL/dF|.
        gradients: dL/dF, of the structure and shapes of `features`; with 'saliency' only.

    Returns:
        A float array [channels] in place of each array.

    Raises:
        MaskError: an unknown kind, gradients that do not fit it, or an array without batch and channels.
    """
    if kind not in _KINDS:
        raise MaskError(f"kind={kind!r}: must be one of {', '.join(_KINDS)}")
    if (kind == "saliency") != (gradients is not None):
        need = "give dL/dF, of the structure of features" if gradients is None else "leave gradients out"
        raise MaskError(f"kind={kind!r} with gradients {'missing' if gradients is None else 'given'}; {need}")
    for leaf in jax.tree.leaves(features):
        if jnp.ndim(leaf) < 2:
            raise MaskError(f"features have shape {jnp.shape(leaf)}; they must be [batch, *space, channels]")
    if kind != "saliency":
        return jax.tree.map(
            lambda feature: _sum(jnp.abs(feature) if kind == "l1" else jnp.square(_wide(feature))), features
        )
    shapes, found = (jax.tree.map(jnp.shape, tree) for tree in (features, gradients))
    if shapes != found:
        raise MaskError(f"gradients have shapes {found}, features {shapes}; they must be the same")
    return jax.tree.map(lambda feature, gradient: _sum(jnp.abs(_wide(feature) * _wide(gradient))), features, gradients)


def _wide(array: Any) -> jax.Array:
    array = jnp.asarray(array)
    return array if array.dtype == jnp.float64 else array.astype(jnp.float32)


def _sum(array: Any) -> jax.Array:
    wide = _wide(array)
    return wide.sum(axis=tuple(range(wide.ndim - 1)))
