"""The options of `regroup`, checked, and the groups of rows that a user gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from jaxticket.core.errors import MaskError
from jaxticket.core.options import must_be_one_of
from jaxticket.core.types import Path
from jaxticket.structure.regroup.block_columns import RULES, Rule
from jaxticket.structure.regroup.partition import PARTITIONERS, Partitioner

Groups = Literal["auto"] | int | Mapping[Path, Sequence[Sequence[int]]]

_CHOICES = {
    "rule": RULES,
    "on_dense_group": ("keep", "drop"),
    "on_small_group": ("merge", "drop"),
    "on_unstructured": ("keep", "dense", "refill"),
    "partitioner": PARTITIONERS,
    "passes": (1, "until_empty"),
}


@dataclass(frozen=True)
class RegroupOptions:
    """The arguments of `regroup`, which says what they mean."""

    groups: Groups
    rule: Rule
    ratio: float
    min_rows: int
    t2: int | None
    b2: int | None
    seed: int
    area_ratio: float
    passes: int | str
    on_dense_group: str
    on_small_group: str
    on_unstructured: str
    partitioner: Partitioner
    max_density: float = 0.9


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


def check_options(options: RegroupOptions) -> None:
    """Makes sure that every option has a value that is allowed, and one that its rule uses.

    Raises:
        MaskError: naming the first option that does not.
    """
    for name, allowed in _CHOICES.items():
        value = getattr(options, name)
        if value not in allowed:
            raise MaskError(f"{name}={value!r}: {must_be_one_of(value, [str(choice) for choice in allowed])}")
    groups = options.groups
    if not (isinstance(groups, Mapping) or groups == "auto" or _is_whole(groups)):
        raise MaskError(f"groups={groups!r}: must be 'auto', a whole number of at least 1, or rows by path")
    for name in ("min_rows", "t2", "b2"):
        value = getattr(options, name)
        if not (_is_whole(value) or (value is None and name != "min_rows")):
            raise MaskError(f"{name}={value!r}: must be a whole number of at least 1")
    for name in ("ratio", "area_ratio"):
        value = getattr(options, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise MaskError(f"{name}={value!r}: must be a number above 0")
    if isinstance(options.max_density, bool) or not isinstance(options.max_density, int | float):
        raise MaskError(f"max_density={options.max_density!r}: must be a number above 0 and at most 1")
    if not 0 < options.max_density <= 1:
        raise MaskError(f"max_density={options.max_density!r}: must be above 0 and at most 1")
    if options.rule != "min_count":
        for name, default in (("t2", None), ("b2", None), ("passes", 1)):
            if getattr(options, name) != default:
                raise MaskError(f"{name}={getattr(options, name)!r} with rule={options.rule!r}: it needs 'min_count'")
    if isinstance(options.seed, bool) or not isinstance(options.seed, int | np.integer) or options.seed < 0:
        raise MaskError(f"seed={options.seed!r}: must be a whole number of at least 0")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= 1)
