"""Dynamic sparse training: masks that lose weights and gain as many others, layer by layer.

Here, and only here, weights come back. A weight that comes back starts at zero.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.errors import MaskError
from jaxticket.core.masks import is_traced, union
from jaxticket.core.prune import prune
from jaxticket.core.topk import group_layout, ordered_keys, prune_lowest_k
from jaxticket.core.types import Mask, Number, Scores


def regrow(mask: Mask, drop_scores: Scores, grow_scores: Scores, rate: Number) -> Mask:
    """Each leaf loses `round(rate * kept)` of its lowest weights and gains as many of the highest that it lacks.

    With magnitudes to drop and random scores to grow it is SET (Mocanu et al. 2018, algorithm 1), with magnitudes of
    gradients to grow RigL (Evci et al. 2020, algorithm 1), where a weight that was just dropped may be grown again.

    Args:
        mask: path -> bool array, True = kept; may be traced.
        drop_scores: higher = keep, of the mask's paths and shapes.
        grow_scores: higher = grow.
        rate: share of the kept weights of every leaf, in [0, 1]; may be traced.

    Returns:
        A mask that keeps as many weights of each leaf as `mask` does.

    Raises:
        MaskError: scores that do not fit or are NaN, or a rate out of range.
    """
    left = prune(mask, drop_scores, rate=rate, scope="layer")
    counts = [jnp.sum(mask[path], dtype=jnp.uint32) - jnp.sum(left[path], dtype=jnp.uint32) for path in sorted(mask)]
    return _grow(left, grow_scores, jnp.stack(counts))


def random_order(mask: Mask, key: jax.Array) -> Scores:
    """Uniform random scores for every weight, kept or not; each path has a key of its own."""
    keys = jax.random.split(key, len(mask))
    return {path: jax.random.uniform(keys[i], np.shape(mask[path])) for i, path in enumerate(sorted(mask))}


def _grow(mask: Mask, scores: Scores, counts: jax.Array) -> Mask:
    """The mask with the highest-scored weights that it lacks, `counts` of them in each leaf in sorted order."""
    lacking = {path: ~jnp.asarray(kept) for path, kept in mask.items()}
    layout = group_layout(scores, together=False)
    keys, available, nan = ordered_keys(lacking, dict(scores), layout)
    if not is_traced(nan) and int(jnp.sum(nan)):
        paths = [slot.path for slot in layout.slots]
        raise MaskError(f"{paths[int(jnp.argmax(nan))]!r} has NaN scores; look for the cause in what computed them")
    return union(mask, prune_lowest_k(lacking, keys, available - counts, layout))
