"""Pruning: which weights go, given their scores; exact in number, stable in ties, the same on any number of devices.

Every scope is two decisions: which leaves are compared with each other (groups), and how many weights go from each
group. The removal itself is `lowest.remove_lowest`, whatever the scope.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.errors import MaskError
from jaxticket.core.lowest import layout_of, ordered_keys, remove_lowest
from jaxticket.core.masks import Mask, check_fit, is_traced
from jaxticket.core.rules import Path

SCOPES = ("global", "layer")
# Positions and counts are unsigned 32-bit integers; this is the largest of them that float32 holds too.
MOST_PER_GROUP = 2**32 - 2**8


def prune(
    mask: Mask,
    scores: Mapping[Path, Any],
    *,
    rate: Any = None,
    sparsity: Any = None,
    scope: str = "global",
) -> Mask:
    """The mask without its lowest-scored weights, an exact number of them.

    A weight that is pruned already is never considered, so the masks of successive calls are nested. Among equal
    scores the first in the order of (sorted path, C-order index) goes first; -0.0 equals 0.0.

    Everything but `scope` may be traced by `jit` or `vmap`, and arrays may be sharded over devices: the weights
    stay where they are. A number of weights that depends on traced values is computed in float32. NaN scores cannot
    be reported under tracing; they rank above infinity there.

    Args:
        mask: path -> bool array, True = kept.
        scores: path -> float array of the mask's paths and shapes, higher = keep; half precision counts as float32.
        rate: remove `round(rate * kept)` of the weights still kept; in [0, 1].
        sparsity: remove until `round(sparsity * all)` of all weights are pruned; in [0, 1]. A mask that is sparser
            already stays as it is.
        scope: 'global' compares all weights with each other and counts over the whole mask, 'layer' does both
            within each leaf.

    Returns:
        A mask of the paths and shapes of `mask`.

    Raises:
        MaskError: both or none of `rate` and `sparsity`, or one out of range; an unknown scope; scores that do not
            fit the mask, or are NaN where it keeps; more than 4,294,967,040 weights compared with each other.
    """
    _check_share(rate, sparsity)
    _check_scores(mask, scores)
    layout = layout_of(scores, _groups(mask, scope))
    if max(layout.sizes) > MOST_PER_GROUP:
        raise MaskError(
            f"scope={scope!r} compares {max(layout.sizes)} weights with each other, at most {MOST_PER_GROUP} can be; "
            "prune parts of the mask one by one, or with scope='layer'"
        )
    keys, kept, nan = ordered_keys(dict(mask), dict(scores), layout)
    if not is_traced(nan):
        kept, nan = jax.device_get((kept, nan))
        for place, number in zip(layout.places, nan, strict=True):
            if number:
                raise MaskError(f"scores[{place.path!r}] is NaN for {number} kept weights; NaN cannot be ranked")
    return remove_lowest(dict(mask), keys, _numbers_to_remove(kept, layout.sizes, rate, sparsity), layout)


def _groups(mask: Mask, scope: str) -> dict[Path, int]:
    if scope == "global":
        return dict.fromkeys(mask, 0)
    if scope == "layer":
        return {path: number for number, path in enumerate(sorted(mask))}
    raise MaskError(f"scope={scope!r}: must be one of {', '.join(map(repr, SCOPES))}")


def _numbers_to_remove(kept: Any, sizes: tuple[int, ...], rate: Any, sparsity: Any) -> Any:
    """How many weights go, uint32 [groups]; Python's own arithmetic where all that it depends on is known."""
    total = np.array(sizes, np.uint32)
    share, wholes = (rate, kept) if sparsity is None else (sparsity, total)
    if is_traced((share, wholes)):
        part = jnp.round(jnp.asarray(share, jnp.float32) * wholes.astype(jnp.float32)).astype(jnp.uint32)
    else:
        part = np.array([round(float(share) * int(whole)) for whole in wholes], np.uint32)
    if sparsity is None:
        return jnp.minimum(part, kept)
    return part - jnp.minimum(part, total - kept)


def _check_share(rate: Any, sparsity: Any) -> None:
    if (rate is None) == (sparsity is None):
        raise MaskError(f"rate={rate!r}, sparsity={sparsity!r}: exactly one of them must be given")
    name, share = ("rate", rate) if sparsity is None else ("sparsity", sparsity)
    if is_traced(share) and share.ndim == 0:
        return
    try:
        in_range = 0 <= float(share) <= 1
    except (TypeError, ValueError):
        in_range = False
    if not in_range:
        raise MaskError(f"{name}={share!r}: must be one number from 0 to 1")


def _check_scores(mask: Mask, scores: Mapping[Path, Any]) -> None:
    if not mask:
        raise MaskError("the mask has no leaves, so nothing can be pruned; check the rules it was made with")
    check_fit(dict(scores), mask)
    for path, leaf in scores.items():
        if path not in mask:
            raise MaskError(f"the scores have {path!r}, the mask has no such leaf; score prunable leaves only")
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise MaskError(f"scores[{path!r}] is of dtype {leaf.dtype}; it must be a float array")
