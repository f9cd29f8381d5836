"""ADMM, the alternating direction method of multipliers, for pruning.

Zhang et al., "A systematic DNN weight pruning framework using alternating direction method of multipliers" (ECCV 2018).
Weights W are trained with the penalty `rho / 2 * |W - Z + U|^2`, which pulls them towards their own pruned copy Z; from
time to time Z and the multipliers U follow them.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxticket.core.masks import check_fit
from jaxticket.core.paths import leaves
from jaxticket.core.prune import prune
from jaxticket.core.scopes import ScopeLike
from jaxticket.core.types import Mask, Params, Path


class Multipliers(NamedTuple):
    """What ADMM remembers, path -> float array of the leaf's shape: the pruned copy `z` and the multipliers `u`."""

    z: dict[Path, jax.Array]
    u: dict[Path, jax.Array]


def start_admm(params: Params, mask: Mask, *, sparsity: float, scope: ScopeLike = "global") -> Multipliers:
    """Z is the pruned weights, U is zero.

    Args:
        params: any pytree of arrays.
        mask: path -> bool array, True = may be kept; its paths take part.
        sparsity: of Z, of the prunable set.
        scope: as for `prune`.
    """
    weights = _weights(params, mask)
    return Multipliers(_pruned(weights, mask, sparsity, scope), jax.tree.map(jnp.zeros_like, weights))


def update_admm(
    params: Params, mask: Mask, multipliers: Multipliers, *, sparsity: float, scope: ScopeLike = "global"
) -> Multipliers:
    """`Z = prune(W + U)`, then `U = U + W - Z`; arguments as for `start_admm`."""
    weights = _weights(params, mask)
    z = _pruned({path: weights[path] + multipliers.u[path] for path in weights}, mask, sparsity, scope)
    return Multipliers(z, {path: multipliers.u[path] + weights[path] - z[path] for path in weights})


def admm_penalty(params: Params, mask: Mask, multipliers: Multipliers, rho: float) -> jax.Array:
    """`rho / 2 * |W - Z + U|^2` summed over the leaves of the mask, float32 scalar; its gradient trains W."""
    weights = _weights(params, mask)
    distances = [weights[path] - multipliers.z[path] + multipliers.u[path] for path in sorted(weights)]
    return rho / 2 * sum((jnp.sum(jnp.square(d.astype(jnp.float32))) for d in distances), jnp.zeros((), jnp.float32))


def _weights(params: Params, mask: Mask) -> dict[Path, jax.Array]:
    check_fit(params, mask)
    found = leaves(params)
    return {path: jnp.asarray(found[path]) for path in mask}


def _pruned(weights: Mapping[Path, jax.Array], mask: Mask, sparsity: float, scope: ScopeLike) -> dict[Path, jax.Array]:
    scores = {path: jnp.abs(leaf) for path, leaf in weights.items()}
    kept = prune(mask, scores, sparsity=sparsity, scope=scope)
    return {path: jnp.where(kept[path], leaf, jnp.zeros_like(leaf)) for path, leaf in weights.items()}
