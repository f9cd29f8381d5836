"""Magnitude: the absolute value of every weight."""

import jax
import jax.numpy as jnp

from jaxticket.core.masks import check_fit
from jaxticket.core.paths import leaves
from jaxticket.core.types import Mask, Params, Scores


def magnitude(params: Params, mask: Mask) -> Scores:
    """The absolute value of every weight (Han et al., "Learning both Weights and Connections", NeurIPS 2015).

    Args:
        params: any pytree of arrays.
        mask: path -> bool array; its paths are scored, whatever it keeps.

    Returns:
        Path -> float32 array of the leaf's shape (float64 for a float64 leaf).

    Raises:
        MaskError: a mask that does not fit `params`.

    Example:
        >>> params = {"fc": {"kernel": jnp.array([[0.5, -2.0]])}}
        >>> jt.magnitude(params, jt.full_mask(params))["fc/kernel"].tolist()
        [[0.5, 2.0]]
    """
    check_fit(params, mask)
    found = leaves(params)
    return _absolute({path: found[path] for path in mask})


@jax.jit
def _absolute(weights: Scores) -> Scores:
    def wide(weight: jax.Array) -> jax.Array:
        return weight if weight.dtype == jnp.float64 else weight.astype(jnp.float32)

    return {path: jnp.abs(wide(weight)) for path, weight in weights.items()}
