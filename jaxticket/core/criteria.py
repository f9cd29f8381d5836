"""Criteria: a score for every prunable weight, higher = keep."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.keys import named_key
from jaxticket.core.masks import Mask, check_fit
from jaxticket.core.paths import leaves
from jaxticket.core.rules import Path

Scores = dict[Path, jax.Array]


def magnitude(params: Any, mask: Mask) -> Scores:
    """The absolute value of every weight (Han et al., "Learning both Weights and Connections", NeurIPS 2015).

    Args:
        params: any pytree of arrays.
        mask: path -> bool array; its paths are scored, whatever it keeps.

    Returns:
        Path -> float32 array of the leaf's shape (float64 for a float64 leaf).

    Raises:
        MaskError: a mask that does not fit `params`.
    """
    check_fit(params, mask)
    found = leaves(params)
    return _absolute({path: found[path] for path in mask})


def random_scores(params: Any, mask: Mask, key: jax.Array) -> Scores:
    """Independent uniform scores in [0, 1), so that pruning by them is random pruning.

    The scores of a leaf depend on `key` and on its path and shape only: another set of leaves does not change them.

    Args:
        params: any pytree of arrays.
        mask: path -> bool array; its paths are scored, whatever it keeps.
        key: a key of `jax.random`.

    Returns:
        Path -> float32 array of the leaf's shape.

    Raises:
        MaskError: a mask that does not fit `params`.
    """
    check_fit(params, mask)
    return {path: jax.random.uniform(named_key(key, path), np.shape(kept), jnp.float32) for path, kept in mask.items()}


@jax.jit
def _absolute(weights: dict[Path, jax.Array]) -> Scores:
    def wide(weight: jax.Array) -> jax.Array:
        return weight if weight.dtype == jnp.float64 else weight.astype(jnp.float32)

    return {path: jnp.abs(wide(weight)) for path, weight in weights.items()}
