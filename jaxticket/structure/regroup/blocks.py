"""Finding the dense blocks of one layer."""

from collections.abc import Mapping

import numpy as np

from jaxticket.structure.regroup.block_columns import FAILS_WHERE_DENSE, select_columns
from jaxticket.structure.regroup.options import RegroupOptions
from jaxticket.structure.regroup.partition import partition
from jaxticket.structure.regroup.report import Block

# A block of 32 rows keeps a matrix unit as busy as it gets; more than eight groups are not worth their columns.
ROWS_PER_GROUP, MOST_GROUPS = 32, 8


def find_blocks(kept: np.ndarray, given: list[np.ndarray] | None, options: RegroupOptions) -> list[Block]:
    """The blocks of a layer, no two of which have a weight in common.

    Args:
        kept: bool matrix [rows, columns].
        given: the rows of each group, or None where they are to be partitioned.
        options: of `regroup`.
    """
    blocks: list[Block] = []
    left, filled = kept.copy(), np.zeros_like(kept)
    while True:
        found = _one_pass(left, filled, given, options)
        blocks += found
        if options.passes == 1 or not found:
            return blocks
        for rows, columns in found:
            left[np.ix_(rows, columns)] = False
            filled[np.ix_(rows, columns)] = True


def _one_pass(
    left: np.ndarray, filled: np.ndarray, given: list[np.ndarray] | None, options: RegroupOptions
) -> list[Block]:
    rows = np.flatnonzero(left.any(axis=1))
    if not len(rows):
        return []
    if given is None:
        assert not isinstance(options.groups, Mapping)
        number = _auto_groups(len(rows)) if options.groups == "auto" else int(options.groups)
        parts = [
            rows[part] for part in partition(left[rows], number, seed=options.seed, partitioner=options.partitioner)
        ]
    else:
        parts = [part for part in (np.intersect1d(group, rows) for group in given) if len(part)]
    if options.on_small_group == "merge":
        parts = _merge_small(left, parts, options.min_rows)
    parts = sorted((part for part in parts if len(part) >= options.min_rows), key=len, reverse=True)
    if not parts:
        return []
    # A column that an earlier block has in any of the rows would count twice.
    groups = [left[part] & ~filled[part].any(axis=0) for part in parts]
    area = options.area_ratio * np.count_nonzero(left)
    chosen = select_columns(groups, options.rule, ratio=options.ratio, t2=options.t2, b2=options.b2, area=area)
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
