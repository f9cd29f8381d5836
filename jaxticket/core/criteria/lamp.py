"""LAMP: magnitudes that can be compared between layers (Lee et al. 2021)."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxticket.core.criteria.magnitude import magnitude
from jaxticket.core.types import Mask, Params, Scores


def lamp(params: Params, mask: Mask) -> Scores:
    """Layer-adaptive magnitude: `w^2` over the sum of the squares of the weights of its layer not smaller than w.

    Lee et al., "Layer-adaptive sparsity for the magnitude-based pruning" (ICLR 2021), equation 4. Within a layer the
    order is that of magnitudes; between layers it makes global pruning choose each layer's share, and never empties
    one: the largest weight of every layer has score 1. Among equal weights the first in C-order has the lower score.
    Traceable by `jit` and `vmap`; it sorts each layer.

    Args:
        params: any pytree of arrays.
        mask: path -> bool array; its paths are scored, and what it prunes counts nowhere.

    Returns:
        Path -> float32 array of the leaf's shape (float64 for a float64 leaf), in [0, 1]; zero where pruned.

    Raises:
        MaskError: a mask that does not fit `params`.

    Example:
        >>> params = {"fc": {"kernel": jnp.array([[1.0, 2.0]])}}
        >>> jt.lamp(params, jt.full_mask(params))["fc/kernel"].round(3).tolist()  # 1 / (1 + 4), and 4 / 4
        [[0.2..., 1.0]]
    """
    return {path: _share_of_squares(score, mask[path]) for path, score in magnitude(params, mask).items()}


# Leaf by leaf: compiling a sort and sums of large arrays takes seconds, once for each shape that way.
@jax.jit
def _share_of_squares(magnitude: jax.Array, kept: jax.Array) -> jax.Array:
    flat = jnp.where(kept, magnitude, 0).ravel()
    flat = flat / jnp.maximum(flat.max(initial=0), jnp.finfo(flat.dtype).tiny)  # squares in the range of floats
    ascending, position = lax.sort_key_val(flat, jnp.arange(flat.size), is_stable=True)
    squares = ascending**2
    # Rounding must not let a sum over more weights be the smaller one: the order of magnitudes would be lost.
    sums = lax.cummax(lax.cumsum(squares, reverse=True), reverse=True)
    shares = jnp.where(squares > 0, squares / jnp.where(sums > 0, sums, 1), 0)
    return jnp.zeros_like(flat).at[position].set(shares, unique_indices=True).reshape(magnitude.shape)
