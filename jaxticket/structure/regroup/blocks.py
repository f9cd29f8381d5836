"""Finding the dense blocks of one layer."""

from collections.abc import Callable

import numpy as np

from jaxticket.structure.regroup.block_columns import FAILS_WHERE_DENSE, select_columns
from jaxticket.structure.regroup.options import RegroupOptions
from jaxticket.structure.regroup.partition import Partitioner, partition
from jaxticket.structure.regroup.report import Block

# A block of 32 rows keeps a matrix unit as busy as it gets; more than eight groups are not worth their columns.
ROWS_PER_GROUP, MOST_GROUPS = 32, 8


def find_blocks(
    kept: np.ndarray, options: RegroupOptions, *, groups: list[np.ndarray] | None, seed: int, partitioner: Partitioner
) -> list[Block]:
    """The blocks of a layer, no two of which have a weight in common.

    Args:
        kept: bool matrix [rows, columns].
        options: of `regroup`.
        groups: the rows of each group, or None where they are to be partitioned.
        seed: of the partition.
        partitioner: see `partition`.

    Returns:
        Ascending rows and columns of each block.
    """

    def parts_of(left: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
        if groups is not None:
            return [part for part in (np.intersect1d(group, rows) for group in groups) if len(part)]
        number = options.groups or _auto_groups(len(rows))
        return [rows[part] for part in partition(left[rows], number, seed=seed, partitioner=partitioner)]

    blocks: list[Block] = []
    left, filled = kept.copy(), np.zeros_like(kept)
    while True:
        found = _one_pass(left, filled, parts_of, options)
        blocks += found
        if not (options.until_empty and found):
            return blocks
        for rows, columns in found:
            left[np.ix_(rows, columns)] = False
            filled[np.ix_(rows, columns)] = True


def _one_pass(
    left: np.ndarray,
    filled: np.ndarray,
    parts_of: Callable[[np.ndarray, np.ndarray], list[np.ndarray]],
    options: RegroupOptions,
) -> list[Block]:
    rows = np.flatnonzero(left.any(axis=1))
    if not len(rows):
        return []
    parts = parts_of(left, rows)
    if options.on_small_group == "merge":
        parts = _merge_small(left, parts, options.min_rows)
    parts = sorted((part for part in parts if len(part) >= options.min_rows), key=len, reverse=True)
    if not parts:
        return []
    # A column that an earlier block has in any of the rows would count twice.
    groups = [left[part] & ~filled[part].any(axis=0) for part in parts]
    area = options.area_ratio * np.count_nonzero(left)
    chosen = select_columns(
        groups,
        options.rule,
        ratio=options.ratio,
        min_rows_per_column=options.min_rows_per_column,
        min_columns=options.min_columns,
        area=area,
    )
    if options.rule in FAILS_WHERE_DENSE and options.on_dense_group == "keep":
        chosen = [columns if len(columns) else np.arange(left.shape[1]) for columns in chosen]
    return [(part, columns) for part, columns in zip(parts, chosen, strict=True) if len(columns)]


def _auto_groups(rows: int) -> int:
    return min(max(rows // ROWS_PER_GROUP, 1), MOST_GROUPS)


def _merge_small(kept: np.ndarray, parts: list[np.ndarray], min_rows: int) -> list[np.ndarray]:
    """Joins the smallest group that is too small with the one whose columns' counts point the same way the most."""
    parts = list(parts)
    while len(parts) > 1 and min(map(len, parts)) < min_rows:
        small = parts.pop(int(np.argmin([len(part) for part in parts])))
        profile = kept[small].sum(axis=0, dtype=np.float64)
        others = [kept[part].sum(axis=0, dtype=np.float64) for part in parts]
        likeness = [float(profile @ other) / float(np.linalg.norm(other)) for other in others]
        nearest = int(np.argmax(likeness))
        parts[nearest] = np.sort(np.concatenate([parts[nearest], small]))
    return parts
