"""The correlation indicator: do the weights that are large at first stay large?"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxticket.core.errors import MaskError
from jaxticket.core.paths import leaves


def correlation(a: Any, b: Any, mask: Mapping[str, Any] | None = None, p: float = 0.1) -> float:
    """The share of the largest weights of `a` that are among the largest of `b` (Ma et al. 2021, section 3.2).

    In each layer the `round(p * N)` weights of largest magnitude are taken, N counting the layer's survivors; what the
    two sets share is summed over the layers and divided by the sum of the sizes, so that `correlation(a, a)` is exactly
    1. Independent weights give about `p`, more means that large weights stay large, less that they become small.
    Signs do not enter, and neither do the scales of layers.

    Args:
        a: weights, a pytree of arrays.
        b: weights of the same paths and shapes, of another moment or another network.
        mask: path -> bool array; only these layers and, within them, only kept weights are looked at. None looks at
            every leaf; `jt.full_mask(params)` at the kernels.
        p: share of a layer's survivors that counts as large, in (0, 1].

    Returns:
        A number in [0, 1].

    Raises:
        MaskError: `p` is out of range, paths or shapes differ, or no layer has enough weights for a single large one.

    Example:
        >>> from jaxticket import analysis
        >>> a = {"fc/kernel": np.array([[4.0, 3.0], [2.0, 1.0]])}
        >>> b = {"fc/kernel": np.array([[4.0, 1.0], [-3.0, 2.0]])}
        >>> analysis.correlation(a, b, p=0.5)  # the first of the two largest is among the largest of both
        0.5
    """
    shared, sizes = _shared(a, b, mask, p)
    total = sum(sizes.values())
    if not total:
        raise MaskError(f"correlation(p={p}): no layer has a weight left that counts; p must be larger")
    return sum(shared.values()) / total


def layer_correlation(a: Any, b: Any, mask: Mapping[str, Any] | None = None, p: float = 0.1) -> dict[str, float]:
    """`correlation` of each layer separately; layers too small for a single large weight are left out.

    Example:
        >>> from jaxticket import analysis
        >>> weights = {"w": np.arange(20.0)}
        >>> analysis.layer_correlation(weights, weights)
        {'w': 1.0}
    """
    shared, sizes = _shared(a, b, mask, p)
    return {path: shared[path] / size for path, size in sizes.items() if size}


def _shared(a: Any, b: Any, mask: Mapping[str, Any] | None, p: float) -> tuple[dict[str, int], dict[str, int]]:
    """How many large weights the two have in common, and how many there are, layer by layer."""
    if not 0 < p <= 1:
        raise MaskError(f"correlation(p={p}): must be above 0 and at most 1")
    first, second = leaves(a), leaves(b)
    chosen = sorted(first if mask is None else mask)
    shared, sizes = {}, {}
    for path in chosen:
        for name, tree in (("a", first), ("b", second)):
            if path not in tree:
                raise MaskError(f"{path}: not in {name}; both sets of weights need every layer that is compared")
        x, y = np.asarray(first[path]), np.asarray(second[path])
        kept = np.ones(x.shape, bool) if mask is None else np.asarray(mask[path])
        if not x.shape == y.shape == kept.shape:
            raise MaskError(f"{path}: shapes are {x.shape}, {y.shape} and, of the mask, {kept.shape}; must be equal")
        size = round(p * int(kept.sum()))
        shared[path] = len(np.intersect1d(_largest(x[kept], size), _largest(y[kept], size), assume_unique=True))
        sizes[path] = size
    return shared, sizes


def _largest(weights: np.ndarray, count: int) -> np.ndarray:
    """The indices of the `count` largest magnitudes; of equal ones the first."""
    return np.argsort(-np.abs(weights.astype(np.float32)), kind="stable")[:count]
