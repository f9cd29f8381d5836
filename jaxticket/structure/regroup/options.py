"""The options of `regroup`, and the checks of its arguments."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxticket.core.checks import check_number, check_whole
from jaxticket.core.errors import ConfigError, MaskError
from jaxticket.core.options import must_be_one_of, option
from jaxticket.core.types import Path
from jaxticket.structure.regroup.block_columns import RULES

DENSE_GROUPS = ("keep", "drop")
SMALL_GROUPS = ("merge", "drop")
UNSTRUCTURED = ("keep", "dense", "refill")
_CHOICES = {
    "rule": RULES,
    "until_empty": (False, True),
    "on_dense_group": DENSE_GROUPS,
    "on_small_group": SMALL_GROUPS,
    "on_unstructured": UNSTRUCTURED,
}


@dataclasses.dataclass(frozen=True)
class RegroupOptions:
    """How survivors become dense blocks; see `jt.regroup`.

    Attributes:
        groups: of rows in each layer; 0 is one for every 32 rows that keep something, at most 8.
        rule: how the columns of a group are chosen.
        ratio: of the rules `row_budget`, `residual`, `upstream` and `profile`.
        min_rows: the fewest rows of a block.
        min_rows_per_column: of `min_count`, how many rows must keep a column; 0 is a quarter of them.
        min_columns: of `min_count`, the fewest columns of a block; 0 is 1.
        area_ratio: of `budget`, the blocks' area over the number of kept weights.
        until_empty: with `min_count`, group again what is left until no block is found.
        on_dense_group: a group too dense for `upstream` and `profile` is kept whole, or dropped.
        on_small_group: a group with fewer rows than `min_rows` is merged with the most similar one, or dropped.
        on_unstructured: a layer without blocks keeps its mask, becomes dense, or is refilled.
        max_density: a layer whose blocks would hold a larger share of it has none.
    """

    groups: int = option(0, minimum=0)
    rule: str = option("row_budget", choices=RULES)
    ratio: float = option(1.5, above=0)
    min_rows: int = option(16, minimum=1)
    min_rows_per_column: int = option(0, minimum=0)
    min_columns: int = option(0, minimum=0)
    area_ratio: float = option(1.0, above=0)
    until_empty: bool = option(False)
    on_dense_group: str = option("keep", choices=DENSE_GROUPS)
    on_small_group: str = option("merge", choices=SMALL_GROUPS)
    on_unstructured: str = option("keep", choices=UNSTRUCTURED)
    max_density: float = option(0.9, above=0, maximum=1)

    def check(self, where: str) -> None:
        """Refuses what the rule does not use, with a `ConfigError`."""
        try:
            names = ("min_rows_per_column", "min_columns", "until_empty")
            check_rule_uses(self.rule, {name: getattr(self, name) for name in names})
        except MaskError as error:
            raise ConfigError(f"config.{where}: {error}") from error


def check_rule_uses(rule: str, options: Mapping[str, Any]) -> None:
    """Makes sure that options which only 'min_count' uses are set for no other rule, or raises `MaskError`."""
    for name, value in options.items():
        if value and rule != "min_count":
            raise MaskError(f"{name}={value!r} with rule={rule!r}: it needs 'min_count'")


def check_options(options: RegroupOptions) -> None:
    """Makes sure that options that no config file has gone through have allowed values.

    Raises:
        MaskError: naming the first one that has not.
    """
    for name, allowed in _CHOICES.items():
        value = getattr(options, name)
        if value not in allowed:
            raise MaskError(f"{name}={value!r}: {must_be_one_of(value, [str(choice) for choice in allowed])}")
    check_whole("min_rows", options.min_rows, 1)
    check_number("ratio", options.ratio, 0, math.inf, above=True, below=True)
    check_number("area_ratio", options.area_ratio, 0, math.inf, above=True, below=True)
    check_number("max_density", options.max_density, 0, 1, above=True)


def check_groups(path: Path, kept: np.ndarray, groups: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Groups of rows that were given for a layer, as ascending int arrays.

    Args:
        path: of the layer, for messages.
        kept: its bool matrix [rows, columns].
        groups: the rows of each group.

    Raises:
        MaskError: rows that do not exist, are in two groups, or are in none although they keep something.
    """
    try:
        parts = [np.sort(np.asarray(group, dtype=np.int64)) for group in groups]
        rows = np.concatenate([np.empty(0, np.int64), *parts])
    except (TypeError, ValueError):
        raise MaskError(f"groups[{path!r}] must be lists of row numbers, one list for each group") from None
    channels = kept.shape[0]
    outside = rows[(rows < 0) | (rows >= channels)]
    if len(outside):
        raise MaskError(f"groups[{path!r}] has row {outside[0]}; rows are 0 to {channels - 1}")
    times = np.bincount(rows, minlength=channels)
    if (times > 1).any():
        raise MaskError(f"groups[{path!r}] has row {int(times.argmax())} more than once; groups must be disjoint")
    missing = np.flatnonzero((times == 0) & kept.any(axis=1))
    if len(missing):
        raise MaskError(f"groups[{path!r}] lacks row {missing[0]}, which keeps something; put it into a group")
    return parts
