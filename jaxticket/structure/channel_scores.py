"""What the channels of a group are worth, from the scores of the weights that produce them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core import paths
from jaxticket.core.errors import MaskError
from jaxticket.core.types import Params, Path
from jaxticket.structure.channel_groups.channels import ChannelGroup, ChannelSlice
from jaxticket.structure.shrink.slicing import full_paths

ChannelScores = str | Mapping[Path, Any] | Callable[[Any, Any], Mapping[Path, Any]]

# What a weight counts, and how the sum and the number of a channel's weights become its score.
_KINDS: dict[str, tuple[Callable[[Any], Any], Callable[[Any, int], Any]]] = {
    "magnitude": (np.abs, lambda total, number: total / number),
    "bn_scale": (np.abs, lambda total, number: total / number),
    "l1": (np.abs, lambda total, number: total),
    "l2": (np.square, lambda total, number: np.sqrt(total)),
}


def channel_scores(params: Params, groups: Sequence[ChannelGroup], scores: ChannelScores) -> list[np.ndarray]:
    """A score per channel of each group, float64 [channels].

    Args:
        params: pytree of concrete arrays.
        groups: prunable groups of it.
        scores: see `jt.prune_channels`.

    Raises:
        MaskError: an unknown name, or scores that do not cover a group, do not fit a leaf or are NaN.
    """
    if isinstance(scores, str) and scores not in _KINDS:
        raise MaskError(f"scores={scores!r}: must be one of {', '.join(_KINDS)}, scores by path or a function")
    count, pool = _KINDS[scores] if isinstance(scores, str) else (np.asarray, _KINDS["magnitude"][1])
    leaves = paths.leaves(params)
    if isinstance(scores, str):
        given: Mapping[Path, Any] = leaves
    elif callable(scores):
        produced = {part.path for group in groups for part in group.slices if part.role == "output"}
        given = scores(params, {path: jnp.ones(np.shape(leaves[path]), bool) for path in produced})
    else:
        given = scores
    given = full_paths(params, given, "the scores")
    return [_of_group(group, leaves, given, scores, count, pool) for group in groups]


def _of_group(
    group: ChannelGroup,
    leaves: Mapping[Path, Any],
    given: Mapping[Path, Any],
    scores: ChannelScores,
    count: Any,
    pool: Any,
) -> np.ndarray:
    total, number = np.zeros(group.size), 0
    for part in group.slices:
        if part.path not in given or not _counts(part, scores):
            continue
        array = np.asarray(jax.device_get(given[part.path]), np.float64)
        if array.shape != np.shape(leaves[part.path]):
            raise MaskError(
                f"scores[{part.path!r}] has shape {array.shape}, the leaf {np.shape(leaves[part.path])}; "
                "they must be the same"
            )
        others = tuple(axis for axis in range(array.ndim) if axis != part.axis)
        total += count(array).sum(others)[part.index].sum(1)
        number += array.size // array.shape[part.axis] * part.index.shape[1]
    if not number:
        raise MaskError(
            f"no scores for the channels of {group.slices[0].path!r}; give scores of "
            + " or ".join(sorted({part.path for part in group.slices if part.role != "input"}))
        )
    if np.isnan(total).any():
        raise MaskError(f"scores of the channels of {group.slices[0].path!r} are NaN; NaN cannot be ranked")
    return pool(total, number)


def _counts(part: ChannelSlice, scores: ChannelScores) -> bool:
    if scores == "bn_scale":
        return part.role == "vector" and part.path.rpartition("/")[2] == "scale"
    return part.role == "output" or (part.role == "vector" and not isinstance(scores, str))
