"""When a ticket emerges: the mask that pruning would draw stops changing (You et al. 2020, "Early-Bird Tickets")."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxticket.core.errors import MaskError

RULES = ("latest_vs_window", "consecutive")
THRESHOLDS = ("count", "sorted", "quantile")


def emergence(
    history: Any, rule: str = "latest_vs_window", window: int = 5, epsilon: float = 0.1, *, first: int = 1
) -> int | None:
    """The first epoch at which the masks of training have settled.

    `latest_vs_window`, the authors' program: the newest of `window` masks is at most `epsilon` away from each of the
    others. `consecutive`, the paper's text (section 3.2): each of the last `window` distances between one mask and the
    next is less than `epsilon`, which takes `window + 1` masks. A slow drift satisfies the second rule much earlier.

    Args:
        history: the masks that would be drawn after each epoch, bool or 0 and 1 [T, N], or a sequence of T masks by
            path; or, as floats, the matrix [T, T] of their distances, such as `mask_distances` makes (NaN far from the
            diagonal does no harm).
        rule: `latest_vs_window` or `consecutive`.
        window: masks that are compared, or distances, at least 2 and 1.
        epsilon: the largest distance, in [0, 1].
        first: the epoch of the first mask; 0 where it is that of the initial weights.

    Returns:
        The epoch, counted from `first`; None if the masks never settle.

    Raises:
        MaskError: an unknown rule, a number out of range, or a history that is neither masks nor distances.

    Example:
        >>> from jaxticket import analysis
        >>> masks = np.array([[1, 0, 1, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]], bool)
        >>> analysis.emergence(masks, window=3)
        4
    """
    _check_rule(rule, window, epsilon)
    found = np.asarray(history) if not _by_path(history) else _flat(history)
    distances = found if np.issubdtype(found.dtype, np.floating) else mask_distances(found)
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1]:
        raise MaskError(f"emergence(): distances have shape {distances.shape}; must be [T, T]")
    if rule == "latest_vs_window":
        for newest in range(window - 1, len(distances)):
            if (distances[newest, newest - window + 1 : newest] <= epsilon).all():
                return first + newest
        return None
    steps = np.diagonal(distances, 1)
    for newest in range(window, len(distances)):
        if (steps[newest - window : newest] < epsilon).all():
            return first + newest
    return None


def mask_distances(history: Any) -> np.ndarray:
    """The share of positions in which masks differ, each compared with each.

    Args:
        history: masks, bool or 0 and 1 [T, N], or a sequence of T masks by path.

    Returns:
        float64 [T, T] in [0, 1], symmetric, zero on the diagonal. One minus it is the similarity of the authors'
        heat maps.

    Raises:
        MaskError: no masks, or not all of one size.

    Example:
        >>> from jaxticket import analysis
        >>> analysis.mask_distances(np.array([[1, 1, 0, 0], [1, 0, 1, 0]], bool)).tolist()
        [[0.0, 0.5], [0.5, 0.0]]
    """
    masks = _flat(history) if _by_path(history) else np.asarray(history)
    if masks.ndim != 2 or not masks.shape[1] or masks.dtype.kind not in "bui":
        raise MaskError(
            f"mask_distances(): found an array of dtype {masks.dtype} and shape {masks.shape}; must be bool [T, N]"
        )
    masks = masks.astype(bool)
    return np.stack([(masks != mask).mean(axis=1) for mask in masks]) if len(masks) else np.zeros((0, 0))


def band_matrix(band: np.ndarray) -> np.ndarray:
    """Distances from each mask to those before it, as a matrix; NaN where a distance is not known.

    Args:
        band: float [T, W], the distance of mask t to mask t - 1 - j at [t, j]; what lies before the first is ignored.

    Returns:
        float64 [T, T].

    Example:
        >>> from jaxticket import analysis
        >>> analysis.band_matrix(np.array([[np.nan], [0.5]])).tolist()
        [[0.0, 0.5], [0.5, 0.0]]
    """
    size, width = band.shape
    matrix = np.full((size, size), np.nan)
    np.fill_diagonal(matrix, 0.0)
    for back in range(1, min(width, size - 1) + 1):
        later = np.arange(back, size)
        matrix[later, later - back] = matrix[later - back, later] = band[back:, back - 1]
    return matrix


def channel_mask(scales: Any, ratio: float, rule: str = "count") -> np.ndarray:
    """Which channels a network keeps when those with the smallest scales go, all normalisations ranked together.

    Args:
        scales: scales of all channels, one after the other, [N]; or several such lists, [T, N]. Signs do not matter.
        ratio: the share that is removed, in [0, 1].
        rule: `count` removes exactly `round(ratio * N)`, of equal ones the first. The published programs compare with a
            threshold instead and keep what is strictly greater: the element `int(N * ratio)` of the `sorted` scales
            (the authors of early birds), or the interpolated `quantile` of those above zero. Both remove more where
            scales are equal: everything, when all are.

    Returns:
        bool of the shape of `scales`, True = kept.

    Raises:
        MaskError: an unknown rule, or a ratio out of range.

    Example:
        >>> from jaxticket import analysis
        >>> analysis.channel_mask([0.5, -0.1, 0.3, 0.9], 0.5).tolist()
        [True, False, False, True]
    """
    if rule not in THRESHOLDS:
        raise MaskError(f"channel_mask(rule={rule!r}): must be one of {', '.join(THRESHOLDS)}")
    if not 0 <= ratio <= 1:
        raise MaskError(f"channel_mask(ratio={ratio!r}): must be from 0 to 1")
    sizes = np.abs(np.asarray(scales, np.float64))
    if sizes.ndim > 1:
        return np.stack([channel_mask(one, ratio, rule) for one in sizes])
    if rule == "count":
        kept = np.ones(sizes.shape, bool)
        kept[np.argsort(sizes, kind="stable")[: round(ratio * sizes.size)]] = False
        return kept
    if rule == "sorted":
        position = int(sizes.size * ratio)
        return sizes > (np.sort(sizes)[position] if position < sizes.size else math.inf)
    return sizes > np.quantile(sizes[sizes > 0], ratio) if (sizes > 0).any() else np.zeros(sizes.shape, bool)


def _check_rule(rule: str, window: int, epsilon: float) -> None:
    if rule not in RULES:
        raise MaskError(f"emergence(rule={rule!r}): must be one of {', '.join(RULES)}")
    least = 2 if rule == "latest_vs_window" else 1
    if window < least:
        raise MaskError(f"emergence(window={window}): must be at least {least} with rule={rule!r}")
    if not 0 <= epsilon <= 1:
        raise MaskError(f"emergence(epsilon={epsilon}): must be from 0 to 1")


def _by_path(history: Any) -> bool:
    return isinstance(history, Sequence) and len(history) > 0 and isinstance(history[0], Mapping)


def _flat(history: Sequence[Mapping[str, Any]]) -> np.ndarray:
    sizes = [{path: np.shape(leaf) for path, leaf in mask.items()} for mask in history]
    if any(size != sizes[0] for size in sizes):
        raise MaskError("mask_distances(): the masks have different paths or shapes; all must be of one network")
    return np.stack([np.concatenate([np.ravel(mask[path]) for path in sorted(mask)]) for mask in history]).astype(bool)
