"""Criteria that need no data: a score for every prunable weight, higher = keep."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxticket.core.checks import check_key, check_paths
from jaxticket.core.errors import MaskError
from jaxticket.core.keys import named_key
from jaxticket.core.masks import check_fit
from jaxticket.core.paths import leaves
from jaxticket.core.types import Mask, Params, Path, Scores


def magnitude(params: Params, mask: Mask) -> Scores:
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


def random_scores(params: Params, mask: Mask, key: jax.Array) -> Scores:
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
    check_key(key)
    return {path: jax.random.uniform(named_key(key, path), np.shape(kept), jnp.float32) for path, kept in mask.items()}


def bn_scale(params: Params, mask: Mask) -> Scores:
    """The absolute value of normalisation scales, one score for each channel.

    It is the criterion of Liu et al., "Learning efficient convolutional networks through network slimming" (ICCV
    2017), section 3, and of the masks of You et al., "Drawing Early-Bird tickets" (ICLR 2020). A mask for it comes
    from `full_mask(params, [(r"(.*/)?scale", True), (".*", False)])`.

    Args:
        params: any pytree of arrays.
        mask: path -> bool array; its paths end in `/scale`, and are scored.

    Returns:
        Path -> float32 array of the leaf's shape (float64 for a float64 leaf).

    Raises:
        MaskError: a mask that does not fit `params`, or has a leaf that is not a scale.
    """
    check_paths("the mask", mask)
    for path in mask:
        if path.split("/")[-1] != "scale":
            raise MaskError(
                f"the mask has {path!r}, bn_scale scores normalisation scales only; "
                "make the mask with the rules [(r'(.*/)?scale', True), ('.*', False)]"
            )
    return magnitude(params, mask)


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
    """
    return {path: _share_of_squares(score, mask[path]) for path, score in magnitude(params, mask).items()}


@jax.jit
def _absolute(weights: dict[Path, jax.Array]) -> Scores:
    def wide(weight: jax.Array) -> jax.Array:
        return weight if weight.dtype == jnp.float64 else weight.astype(jnp.float32)

    return {path: jnp.abs(wide(weight)) for path, weight in weights.items()}


# Leaf by leaf: compiling a sort and sums of large arrays takes seconds, once for each shape that way.
@jax.jit
def _share_of_squares(magnitude: jax.Array, kept: jax.Array) -> jax.Array:
    flat = jnp.where(kept, magnitude, 0).ravel()
    flat = flat / jnp.maximum(flat.max(initial=0), jnp.finfo(flat.dtype).tiny)  # squares in the range of floats
    ascending, place = lax.sort_key_val(flat, jnp.arange(flat.size), is_stable=True)
    squares = ascending**2
    # Rounding must not let a sum over more weights be the smaller one: the order of magnitudes would be lost.
    sums = lax.cummax(lax.cumsum(squares, reverse=True), reverse=True)
    shares = jnp.where(squares > 0, squares / jnp.where(sums > 0, sums, 1), 0)
    return jnp.zeros_like(flat).at[place].set(shares, unique_indices=True).reshape(magnitude.shape)
