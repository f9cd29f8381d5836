"""Which columns of a group of rows become a dense block.

The rules are those of Chen et al., "Coarsening the Granularity" (ICML 2022, arXiv 2202.04736): Algorithm 3 as printed
('min_count'), the loop of its published program and of its timing copy ('upstream', 'profile'), what that loop was
meant to do ('residual'), the closed form of what it does ('row_budget'), and a budget over a whole layer ('budget').
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

ColumnRule = Literal["row_budget", "min_count", "residual", "budget", "upstream", "profile"]
RULES: tuple[ColumnRule, ...] = get_args(ColumnRule)
FAILS_WHERE_DENSE = ("upstream", "profile")
"""Rules that find no columns where a row has more than about 1 / `ratio` of them."""


def select_columns(
    groups: Sequence[np.ndarray],
    rule: str,
    *,
    ratio: float = 1.5,
    min_rows_per_column: int = 0,
    min_columns: int = 0,
    area: float = 0.0,
) -> list[np.ndarray]:
    """The columns of every group's block; none where the rule finds no block.

    Columns are taken in the order of their counts, highest first, of equal ones the lower first.

    Args:
        groups: for each group a bool array [its rows, columns], every row with at least one True.
        rule: with c columns chosen so far and h of the kept weights of a row among them:
            'row_budget': `floor(ratio * most kept in a row) + 1` columns, at most all;
            'min_count': all columns that at least `min_rows_per_column` rows keep, where there are at least
            `min_columns` of them;
            'residual': the fewest with `c > ratio * (kept - h)` for every row;
            'budget': over all groups, the columns of highest share of kept rows, until the blocks' area reaches `area`;
            columns that no row keeps are never taken;
            'upstream': the loop of the published program, which counts hits in the wrong column and stops early;
            'profile': that loop with the right column, and one column more.
        ratio: of 'row_budget', 'residual', 'upstream' and 'profile'.
        min_rows_per_column: of 'min_count'; 0 is a quarter of the group's rows, rounded up.
        min_columns: of 'min_count'; 0 is 1.
        area: of 'budget', in weights.

    Returns:
        Ascending columns of each group.
    """
    if rule == "budget":
        return _budget(groups, area)
    return [np.sort(_of_group(kept, rule, ratio, min_rows_per_column, min_columns)) for kept in groups]


def _of_group(kept: np.ndarray, rule: str, ratio: float, min_rows: int, min_columns: int) -> np.ndarray:
    rows, width = kept.shape
    counts = kept.sum(axis=0)
    order = np.argsort(-counts, kind="stable")
    if rule == "min_count":
        enough = np.flatnonzero(counts >= (min_rows or math.ceil(rows / 4)))
        return enough if len(enough) >= (min_columns or 1) else enough[:0]
    in_row = kept.sum(axis=1)
    if rule == "row_budget":
        return order[: min(width, math.floor(ratio * int(in_row.max())) + 1)]
    if rule == "residual":
        missed = (in_row[:, None] - kept[:, order].cumsum(axis=1)).max(axis=0)
        return order[: 1 + int((np.arange(1, width + 1) > ratio * missed).argmax())]
    if rule == "upstream":
        number = _walk(kept, in_row, ratio, range(1, width), range(1, width))
    else:
        number = _walk(kept[:, order], in_row, ratio, range(width), range(1, width + 1))
    return order[:number]


def _walk(kept: np.ndarray, in_row: np.ndarray, ratio: float, columns: range, numbers: range) -> int:
    """The number at which all rows pass, 0 if they never do.

    In column i rows are visited in turn until one does not pass. A row that has passed once always will, as i grows
    and its remainder does not, so the walk continues at the row at which it stopped.
    """
    row, left = 0, in_row.tolist()
    for column, number in zip(columns, numbers, strict=True):
        while True:
            left[row] -= int(kept[row, column])
            if column <= ratio * left[row]:
                break
            row += 1
            if row == len(left):
                return number
    return 0


def _budget(groups: Sequence[np.ndarray], area: float) -> list[np.ndarray]:
    counts = [kept.sum(axis=0) for kept in groups]
    share = np.concatenate([count / len(kept) for count, kept in zip(counts, groups, strict=True)])
    rows = np.concatenate([np.full(kept.shape[1], len(kept)) for kept in groups])
    order = np.argsort(-share, kind="stable")
    before = rows[order].cumsum() - rows[order]
    taken = np.zeros(len(share), bool)
    taken[order[(before < area) & (share[order] > 0)]] = True
    return [np.flatnonzero(part) for part in np.split(taken, len(groups))]
