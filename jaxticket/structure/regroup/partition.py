"""Partitioning the rows of a bool matrix so that rows of one part have their columns in common.

It replaces the hypergraph partitioner in Rumi et al., "Accelerating Sparse CNN Inference on GPUs with
Performance-Aware Weight Pruning" (PACT 2020), and in Chen et al., "Coarsening the Granularity" (ICML 2022):
rows are vertices, columns are hyperedges.
"""

import functools
import importlib
import os
from typing import Any, Literal

import numpy as np

from jaxticket.core.errors import MaskError

Partitioner = Literal["numpy", "mtkahypar"]
PARTITIONERS = ("numpy", "mtkahypar")

_POWER_ITERATIONS = 60
# How much larger than the average part Mt-KaHyPar may make one.
_IMBALANCE = 0.1


def partition(kept: np.ndarray, groups: int, *, seed: int = 0, partitioner: Partitioner = "numpy") -> list[np.ndarray]:
    """Rows in `groups` disjoint parts that cover all of them; the same for the same seed.

    'numpy' bisects again and again, and the parts' sizes differ as little as halving allows. 'mtkahypar' minimises the
    connectivity of all parts at once, and a part may be 10 % larger than the average.

    Args:
        kept: bool array [rows, columns].
        groups: the number of parts; at most as many as there are rows.
        seed: of the random start.
        partitioner: 'numpy' or 'mtkahypar', a package that is not installed with this one.

    Returns:
        Ascending rows of each part, none of them empty.

    Raises:
        MaskError: the partitioner is not installed.
    """
    groups = max(1, min(groups, kept.shape[0]))
    if groups == 1:
        return [np.arange(kept.shape[0])]
    if partitioner == "mtkahypar":
        return _by_mtkahypar(kept, groups, seed)
    ones = kept.astype(np.float32)
    # Columns that two rows have in common; whole numbers far below 2 ** 24, so float32 holds them exactly.
    shared = (ones @ ones.T).astype(np.float64)
    random = np.random.default_rng(seed)
    return [np.sort(part) for part in _bisect(shared, np.arange(kept.shape[0]), groups, random)]


def _bisect(shared: np.ndarray, rows: np.ndarray, groups: int, random: np.random.Generator) -> list[np.ndarray]:
    if groups == 1:
        return [rows]
    lower, upper = groups // 2, groups - groups // 2
    inside = shared[np.ix_(rows, rows)]
    side = _start(inside, len(rows) * upper // groups, random)
    _improve(inside, side)
    return _bisect(shared, rows[~side], lower, random) + _bisect(shared, rows[side], upper, random)


def _start(shared: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """The `size` rows that are highest along the first principal direction of the rows, as a bool array."""
    mean = shared.mean(axis=0)
    centred = shared - mean - mean[:, None] + mean.mean()
    direction = random.standard_normal(len(shared))
    least = 1e-9 * max(np.trace(shared), 1.0)
    for _ in range(_POWER_ITERATIONS):
        product = centred @ direction
        length = np.linalg.norm(product)
        if length <= least * np.linalg.norm(direction):
            direction = np.zeros(len(shared))  # all rows are alike
            break
        direction = product / length
    if direction[np.abs(direction).argmax()] < 0:
        direction = -direction
    side = np.zeros(len(shared), bool)
    side[np.argsort(-direction, kind="stable")[:size]] = True
    return side


def _improve(shared: np.ndarray, side: np.ndarray) -> None:
    """Swaps rows between the sides, in place, while that raises the columns that pairs within a side have in common.

    Every swap raises a whole number that is bounded, so it ends.
    """
    others = shared.copy()
    np.fill_diagonal(others, 0)
    pull = others @ np.where(side, 1.0, -1.0)  # of every row towards side True
    while True:
        joins = int(np.where(side, -np.inf, pull).argmax())
        leaves = int(np.where(side, pull, np.inf).argmin())
        if pull[joins] - pull[leaves] - 2 * others[joins, leaves] <= 0:
            return
        side[joins], side[leaves] = True, False
        pull += 2 * (others[joins] - others[leaves])


def _by_mtkahypar(kept: np.ndarray, groups: int, seed: int) -> list[np.ndarray]:
    try:
        library: Any = importlib.import_module("mtkahypar")
    except ImportError as error:
        raise MaskError(
            "partitioner='mtkahypar': the package is not installed; install mtkahypar or use partitioner='numpy'"
        ) from error
    library.set_seed(seed)
    start = _start_mtkahypar(library)
    # The deterministic preset gives the same parts for the same seed on any number of threads.
    context = start.context_from_preset(library.PresetType.DETERMINISTIC)
    context.set_partitioning_parameters(groups, _IMBALANCE, library.Objective.KM1)
    edges = [rows.tolist() for rows in map(np.flatnonzero, kept.T) if len(rows) > 1]
    if not edges:
        return np.array_split(np.arange(kept.shape[0]), groups)
    found = start.create_hypergraph(context, kept.shape[0], len(edges), edges).partition(context)
    part = np.array([found.block_id(row) for row in range(kept.shape[0])])
    return [rows for rows in (np.flatnonzero(part == number) for number in range(groups)) if len(rows)]


@functools.cache
def _start_mtkahypar(library: Any) -> Any:
    """Its threads, which can be started once in a process only."""
    return library.initialize(os.cpu_count() or 1)
