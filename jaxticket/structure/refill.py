"""Refill: the survivors of an unstructured mask become whole output channels.

Chen et al., "Coarsening the Granularity: Towards Structurally Sparse Lottery Tickets" (ICML 2022, arXiv 2202.04736),
Algorithm 2.
"""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxticket.core.checks import check_number, check_paths, check_whole
from jaxticket.core.errors import MaskError
from jaxticket.core.masks import check_alive, is_traced
from jaxticket.core.types import Mask, Path
from jaxticket.structure.matrix import mask_matrices, masks_of, to_matrix

# Shares such as 0.1 * 30 come out a little above the whole number they mean.
_ROUNDING = 1e-9


def refill(
    mask: Mask, scores: Mapping[Path, Any], *, rate: float = 0.0, min_channels: int = 1, fractional: bool = False
) -> Mask:
    """The mask of whole output channels: in each leaf as many as its kept weights would fill, those of highest score.

    With n weights per channel, C channels and e = kept / n, a leaf keeps `ceil(e + (C - e) * rate)` channels (the
    paper's formula has a misprint). So its density grows by less than one channel with `rate` 0. Leaves do not know of
    each other, and the result need not be a subset of `mask`. Of equal scores the lower channel is kept.

    Args:
        mask: path -> bool array, kernels with the output channels last.
        scores: path -> float array, higher = keep; either one score per weight, of the mask's shape, which is summed
            over the kept weights of each channel, or one per channel, [C]. `magnitude` of the weights that were
            trained under `mask` is what the paper uses; `feature_scores` gives channel scores.
        rate: the share of the channels that would go which is kept as well, in [0, 1]. Above 0 it is the paper's
            refill+; 0.2 fits its figures.
        min_channels: a leaf keeps at least so many, 1 or more.
        fractional: keep exactly as many weights as there are (with `rate`, that share of the others more): full
            channels, and of the next one its first weights in the order of the matrix view (`matrix.to_matrix`).
            `min_channels` does not count then. It is for comparisons at equal sparsity.

    Returns:
        A mask of the paths and shapes of `mask`.

    Raises:
        MaskError: a mask that cannot be structured, scores that do not fit it or are NaN where it counts, or an
            argument out of range.

    Warns:
        UserWarning: a leaf keeps nothing, so that its channels are filled by their scores alone.

    Example:
        >>> mask = {"fc/kernel": jnp.array([[True, True, False], [True, False, False]])}
        >>> scores = {"fc/kernel": jnp.array([[1.0, 5.0, 9.0], [1.0, 9.0, 9.0]])}
        >>> print(jt.refill(mask, scores)["fc/kernel"].astype(int))
        [[1 1 0]
         [1 1 0]]
    """
    _check(rate, min_channels)
    matrices = mask_matrices(mask)
    by_channel = _channel_scores(mask, matrices, scores)
    new = {}
    for path, kept in matrices.items():
        channels, width = kept.shape
        alive = int(np.count_nonzero(kept))
        if not alive and not fractional:
            warnings.warn(
                f"mask[{path!r}] keeps no weight; refill gives it {min(min_channels, channels)} channels all the same, "
                "check what pruned it",
                stacklevel=2,
            )
        best = np.argsort(-by_channel[path], kind="stable")
        filled = np.zeros_like(kept)
        if fractional:
            budget = math.floor(alive + (kept.size - alive) * rate + _ROUNDING)
            whole, rest = divmod(budget, width)
            filled[best[:whole]] = True
            if rest:
                filled[best[whole], :rest] = True
        else:
            filled[best[: channels_to_keep(alive, channels, width, rate, min_channels)]] = True
        new[path] = filled
    return masks_of(new, mask)


def channels_to_keep(alive: int, channels: int, width: int, rate: float = 0.0, min_channels: int = 1) -> int:
    """How many of `channels` channels of `width` weights refill keeps where `alive` weights are kept."""
    full = alive / width
    wanted = math.ceil(full + (channels - full) * rate - _ROUNDING)
    return min(max(wanted, min_channels), channels)


def _check(rate: float, min_channels: int) -> None:
    check_number("rate", rate, 0, 1)
    check_whole("min_channels", min_channels, 1)


def _channel_scores(
    mask: Mask, matrices: Mapping[Path, np.ndarray], scores: Mapping[Path, Any]
) -> dict[Path, np.ndarray]:
    """One finite-or-infinite float64 score per channel, by path."""
    check_paths("the scores", scores)
    unknown = sorted(set(scores) - set(mask))
    if unknown:
        raise MaskError(f"the scores have {unknown[0]!r}, the mask has no such leaf; score prunable leaves only")
    if is_traced(dict(scores)):
        raise MaskError("the scores are traced, masks are structured on the host; do it outside of jit and vmap")
    found = {}
    for path, kept in matrices.items():
        if path not in scores:
            raise MaskError(f"the mask has {path!r}, the scores have no such leaf; score every leaf of the mask")
        score, shape, channels = scores[path], np.shape(mask[path]), kept.shape[0]
        if np.shape(score) not in (shape, (channels,)):
            raise MaskError(
                f"scores[{path!r}] has shape {np.shape(score)}; it must be {shape}, one per weight, or ({channels},), "
                "one per channel"
            )
        if not jnp.issubdtype(getattr(score, "dtype", np.dtype(object)), jnp.floating):
            raise MaskError(f"scores[{path!r}] is not a float array; convert it, as with scores.astype(jnp.float32)")
        check_alive(f"scores[{path!r}]", score)
        values = np.asarray(score).astype(np.float64)
        if values.ndim > 1:
            values = np.where(kept, to_matrix(values), 0.0).sum(axis=1)
        if np.isnan(values).any():
            raise MaskError(f"scores[{path!r}] is NaN for channel {int(np.isnan(values).argmax())}; NaN has no rank")
        found[path] = values
    return found
