"""Random scores, the control of every criterion."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.checks import shown
from jaxticket.core.errors import MaskError
from jaxticket.core.keys import named_key
from jaxticket.core.masks import check_fit
from jaxticket.core.types import Mask, Params, Scores


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
        MaskError: a mask that does not fit `params`, or what is no key.

    Example:
        >>> params = {"fc": {"kernel": jnp.ones((8, 4))}}
        >>> scores = jt.random_scores(params, jt.full_mask(params), jax.random.key(0))["fc/kernel"]
        >>> bool((scores >= 0).all() and (scores < 1).all())
        True
    """
    check_fit(params, mask)
    dtype, shape = getattr(key, "dtype", None), getattr(key, "shape", ())
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and not shape
    if not typed and not (dtype == np.uint32 and len(shape) == 1):  # the older form has two numbers
        raise MaskError(f"key={shown(key)}: must be one key, such as jax.random.key(0)")
    return {path: jax.random.uniform(named_key(key, path), np.shape(kept), jnp.float32) for path, kept in mask.items()}
