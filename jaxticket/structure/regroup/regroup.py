"""Regroup: the survivors of an unstructured mask become dense blocks of rows with the same columns.

Chen et al., "Coarsening the Granularity: Towards Structurally Sparse Lottery Tickets" (ICML 2022, arXiv 2202.04736),
Algorithm 3, with what its published program does where the two differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jaxticket.core.errors import MaskError
from jaxticket.core.types import Mask, Path
from jaxticket.structure.matrix import mask_matrices, masks_of
from jaxticket.structure.refill import channels_to_keep
from jaxticket.structure.regroup.block_columns import Rule
from jaxticket.structure.regroup.blocks import find_blocks
from jaxticket.structure.regroup.options import Groups, RegroupOptions, check_groups, check_options
from jaxticket.structure.regroup.partition import Partitioner
from jaxticket.structure.regroup.report import Block, RegroupReport, report_layer


@dataclass(frozen=True, eq=False)
class Regrouped:
    """What `regroup` returns.

    Attributes:
        mask: path -> bool array, of the paths and shapes of the mask that was given.
        blocks: path -> (rows, columns) of each block, ascending int arrays in the matrix view (`matrix.to_matrix`).
            Blocks of a layer have no weight in common, and with one pass no row. A layer that is kept as it was,
            because no block was found in it, has none.
        report: sizes, densities, coverage and what went wrong, by layer and in all.
    """

    mask: Mask
    blocks: dict[Path, list[Block]]
    report: RegroupReport


def regroup(
    mask: Mask,
    *,
    groups: Groups = "auto",
    rule: Rule = "row_budget",
    ratio: float = 1.5,
    min_rows: int = 16,
    t2: int | None = None,
    b2: int | None = None,
    seed: int = 0,
    area_ratio: float = 1.0,
    passes: Literal[1, "until_empty"] = 1,
    on_dense_group: Literal["keep", "drop"] = "keep",
    on_small_group: Literal["merge", "drop"] = "merge",
    on_unstructured: Literal["keep", "dense", "refill"] = "keep",
    partitioner: Partitioner = "numpy",
    max_density: float = 0.9,
) -> Regrouped:
    """The mask of dense blocks that lie where the kept weights are densest; it looks at no weight, only at the mask.

    In each leaf the output channels that keep something are partitioned into groups with many inputs in common, and
    each group gets the same inputs, by a rule. Holes inside of blocks are filled, survivors outside of them go, and
    output channels that keep nothing stay empty.

    `groups=8, rule="upstream", min_rows=17, on_dense_group="drop", on_small_group="drop", max_density=1.0` is what the
    paper's published program does, but for its partitioner.

    Args:
        mask: path -> bool array, kernels with the output channels last.
        groups: 'auto' takes one group for every 32 rows that keep something, at least 1 and at most 8; or their number;
            or for every path the rows of each group, disjoint and with every row that keeps something.
        rule: how a group's columns are chosen, one of those of `columns.select_columns`. 'row_budget' is what the
            paper's densities come from; 'min_count' is the paper's algorithm as printed; 'budget' keeps the mask's
            sparsity.
        ratio: of 'row_budget', 'residual', 'upstream' and 'profile', above 0.
        min_rows: the fewest rows of a block.
        t2: how many rows of the group must keep a column, for 'min_count'; None is a quarter of them.
        b2: the fewest columns of a block, for 'min_count'; None is 1.
        seed: of the partition.
        area_ratio: for 'budget', the blocks' area over the number of kept weights, above 0.
        passes: 1, or 'until_empty' for 'min_count': what is left outside of the blocks is grouped again until no block
            is found. A row may be in several blocks then.
        on_dense_group: a group in which 'upstream' or 'profile' finds no block because it is too dense is kept whole,
            or dropped as the published program does.
        on_small_group: a group of fewer than `min_rows` rows is merged with the most similar one, or dropped.
        on_unstructured: a leaf without any block is kept as it is, made dense, or refilled by the number of weights its
            channels keep.
        partitioner: see `partition.partition`.
        max_density: a leaf whose blocks would hold a larger share of it is one without blocks: the first rounds of
            'row_budget' would fill it, and the paper's first densities are those of masks that stay scattered.

    Raises:
        MaskError: a mask that cannot be structured, an argument out of range, groups that do not fit the mask, or a
            partitioner that is not installed.
    """
    options = RegroupOptions(
        groups, rule, ratio, min_rows, t2, b2, seed, area_ratio, passes,
        on_dense_group, on_small_group, on_unstructured, partitioner, max_density,
    )  # fmt: skip
    check_options(options)
    matrices = mask_matrices(mask)
    if isinstance(groups, Mapping):
        for path in sorted(set(groups) ^ set(matrices)):
            raise MaskError(f"groups and mask do not agree on {path!r}; give the groups of every leaf of the mask")
    new, blocks, layers = {}, {}, {}
    for path, kept in matrices.items():
        given = check_groups(path, kept, groups[path]) if isinstance(groups, Mapping) else None
        found = find_blocks(kept, given, options)
        note, after = "", _filled(kept, found)
        if not found and kept.any():
            note = _why_none(kept, options)
        elif found and after.mean() > max_density:
            note = f"no block: they would hold {after.mean():.1%} of it, max_density is {max_density:.1%}"
        if note:
            found = _fallback(kept, on_unstructured)
            after = _filled(kept, found) if found else kept
        new[path], blocks[path], layers[path] = after, found, report_layer(kept, after, found, note)
    return Regrouped(masks_of(new, mask), blocks, RegroupReport(layers))


def _filled(kept: np.ndarray, blocks: list[Block]) -> np.ndarray:
    """The mask of blocks in a matrix of the shape of `kept`."""
    after = np.zeros_like(kept)
    for rows, columns in blocks:
        after[np.ix_(rows, columns)] = True
    return after


def _why_none(kept: np.ndarray, options: RegroupOptions) -> str:
    rows = int(kept.any(axis=1).sum())
    if rows < options.min_rows:
        return f"no block: {rows} channels keep something, min_rows is {options.min_rows}"
    return f"no block: no group of {options.min_rows} rows or more in which {options.rule!r} finds columns"


def _fallback(kept: np.ndarray, on_unstructured: str) -> list[Block]:
    channels, width = kept.shape
    if on_unstructured == "keep":
        return []
    rows = np.arange(channels)
    if on_unstructured == "refill":
        number = channels_to_keep(int(np.count_nonzero(kept)), channels, width)
        rows = np.sort(np.argsort(-kept.sum(axis=1), kind="stable")[:number])
    return [(rows, np.arange(width))]
