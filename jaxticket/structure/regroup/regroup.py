"""Regroup: the survivors of an unstructured mask become dense blocks of rows with the same columns.

Chen et al., "Coarsening the Granularity: Towards Structurally Sparse Lottery Tickets" (ICML 2022, arXiv 2202.04736),
Algorithm 3, with what its published program does where the two differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jaxticket.core.checks import check_whole
from jaxticket.core.errors import MaskError
from jaxticket.core.options import must_be_one_of
from jaxticket.core.types import Mask, Path
from jaxticket.structure.matrix import mask_matrices, masks_of
from jaxticket.structure.refill import channels_to_keep
from jaxticket.structure.regroup.block_columns import ColumnRule
from jaxticket.structure.regroup.blocks import find_blocks
from jaxticket.structure.regroup.options import RegroupOptions, check_groups, check_options, check_rule_uses
from jaxticket.structure.regroup.partition import PARTITIONERS, Partitioner
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

    Example:
        >>> regrouped = jt.regroup({"fc/kernel": np.eye(16, 32, dtype=bool)}, rule="budget", min_rows=4)
        >>> regrouped.mask["fc/kernel"].shape, regrouped.report.structured_share
        ((16, 32), 1.0)
    """

    mask: Mask
    blocks: dict[Path, list[Block]]
    report: RegroupReport


def regroup(
    mask: Mask,
    *,
    groups: Literal["auto"] | int | Mapping[Path, Sequence[Sequence[int]]] = "auto",
    rule: ColumnRule = "row_budget",
    ratio: float = 1.5,
    min_rows: int = 16,
    t2: int | None = None,
    b2: int | None = None,
    seed: int = 0,
    area_ratio: float = 1.0,
    until_empty: bool = False,
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
        rule: how a group's columns are chosen, one of those of `block_columns.select_columns`. 'row_budget' is what the
            paper's densities come from; 'min_count' is the paper's algorithm as printed; 'budget' keeps the mask's
            sparsity.
        ratio: of 'row_budget', 'residual', 'upstream' and 'profile', above 0.
        min_rows: the fewest rows of a block.
        t2: how many rows of the group must keep a column, for 'min_count'; None is a quarter of them.
        b2: the fewest columns of a block, for 'min_count'; None is 1.
        seed: of the partition.
        area_ratio: for 'budget', the blocks' area over the number of kept weights, above 0.
        until_empty: for 'min_count': what is left outside of the blocks is grouped again until no block is found. A
            row may be in several blocks then.
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

    Example:
        >>> two_blocks = np.kron(np.eye(2), np.ones((8, 16))).astype(bool)
        >>> regrouped = jt.regroup({"fc/kernel": two_blocks}, groups=2, rule="min_count")
        >>> [(len(rows), len(columns)) for rows, columns in regrouped.blocks["fc/kernel"]]
        [(16, 8), (16, 8)]
    """
    number, by_path = 0, None
    if isinstance(groups, Mapping):
        by_path = groups
    elif groups != "auto":
        if isinstance(groups, bool) or not isinstance(groups, int | np.integer) or groups < 1:
            raise MaskError(f"groups={groups!r}: must be 'auto', a whole number of at least 1, or rows by path")
        number = int(groups)
    for name, value in (("t2", t2), ("b2", b2)):
        if value is not None:
            check_whole(name, value, 1)
    options = RegroupOptions(
        number, rule, ratio, min_rows, t2 or 0, b2 or 0, area_ratio, until_empty,
        on_dense_group, on_small_group, on_unstructured, max_density,
    )  # fmt: skip
    check_options(options)
    check_rule_uses(rule, {"t2": t2, "b2": b2, "until_empty": until_empty})
    return regroup_by(mask, options, groups=by_path, seed=seed, partitioner=partitioner)


def regroup_by(
    mask: Mask,
    options: RegroupOptions,
    *,
    groups: Mapping[Path, Sequence[Sequence[int]]] | None = None,
    seed: int = 0,
    partitioner: Partitioner = "numpy",
) -> Regrouped:
    """`regroup` with its options in one object, as a config has them; `groups` are rows by path.

    Raises:
        MaskError: as `regroup`, but for the options, which are taken as they are.
    """
    check_whole("seed", seed, 0)
    if partitioner not in PARTITIONERS:
        raise MaskError(f"partitioner={partitioner!r}: {must_be_one_of(partitioner, PARTITIONERS)}")
    matrices = mask_matrices(mask)
    if groups is not None:
        for path in sorted(set(groups) ^ set(matrices)):
            raise MaskError(f"groups and mask do not agree on {path!r}; give the groups of every leaf of the mask")
    new, blocks, layers = {}, {}, {}
    for path, kept in matrices.items():
        rows = None if groups is None else check_groups(path, kept, groups[path])
        found = find_blocks(kept, options, groups=rows, seed=seed, partitioner=partitioner)
        note, after = "", _filled(kept, found)
        if not found and kept.any():
            note = _why_none(kept, options)
        elif found and after.mean() > options.max_density:
            note = f"no block: they would hold {after.mean():.1%} of it, max_density is {options.max_density:.1%}"
        if note:
            found = _fallback(kept, options.on_unstructured)
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
