"""Which structured tickets win: at least the accuracy of the dense network (Chen et al. 2022, section 3)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

# Means of accuracies differ in their last bits by the order of summation.
_DIGITS = 9


def extreme_tickets(rows: Sequence[Mapping[str, Any]], source: str) -> dict[str, Any]:
    """The sparsest winning ticket of every branch, by means over seeds of the test accuracy.

    A ticket wins if its mean is not below the dense network's of the same recipe. It counts only if its masks remove
    something and, in a structured branch, if some of what they keep lies in whole channels or blocks.

    Args:
        rows: of the summary.
        source: the branch of the unstructured tickets, which is listed too, to compare with.

    Returns:
        `dense`: `test_accuracy` and `n`; `extreme`: branch -> None or the ticket's `level`, `n`, `test_accuracy`,
        `sparsity`, `macs_share` of the dense network's, and `structured_share`, all means over seeds; and `winning`,
        branch -> levels that win. Controls are left out.
    """
    dense = _mean(rows, "dense", 0, "test_accuracy")
    levels = sorted({(row["branch"], row["level"]) for row in rows if row["branch"] != "dense"})
    winning: dict[str, list[int]] = {}
    extreme: dict[str, dict[str, Any] | None] = {}
    for branch, level in levels:
        if branch.endswith("_random"):
            continue
        winning.setdefault(branch, [])
        extreme.setdefault(branch, None)
        share = None if branch == source else _mean(rows, branch, level, "structured_share")
        accuracy, sparsity = (_mean(rows, branch, level, name) for name in ("test_accuracy", "sparsity"))
        if accuracy < dense or share == 0 or sparsity == 0:
            continue
        winning[branch].append(level)
        best = extreme[branch]
        if best is None or sparsity >= best["sparsity"]:
            extreme[branch] = {
                "level": level,
                "n": len(_of(rows, branch, level)),
                "test_accuracy": accuracy,
                "sparsity": sparsity,
                "macs_share": _mean(rows, branch, level, "macs") / _mean(rows, branch, level, "macs_dense"),
                "structured_share": share,
            }
    return {
        "dense": {"test_accuracy": dense, "n": len(_of(rows, "dense", 0))},
        "extreme": extreme,
        "winning": winning,
    }


def _of(rows: Sequence[Mapping[str, Any]], branch: str, level: int) -> list[Mapping[str, Any]]:
    return [row for row in rows if (row["branch"], row["level"]) == (branch, level)]


def _mean(rows: Sequence[Mapping[str, Any]], branch: str, level: int, name: str) -> float:
    values = [row[name] for row in _of(rows, branch, level)]
    return round(math.fsum(values) / len(values), _DIGITS)
