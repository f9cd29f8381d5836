"""Which structured tickets win: at least the accuracy of the dense network (Chen et al. 2022, section 3)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

# Means of accuracies differ in their last bits by the order of summation.
_DIGITS = 9


def extreme_tickets(
    rows: Sequence[Mapping[str, Any]], source: str, compared: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The sparsest winning ticket of every branch, by means over seeds of the test accuracy.

    A ticket wins if its mean is not below the dense network's of the same recipe. It counts only if its masks remove
    something and, in a structured branch, if some of what they keep lies in whole channels or blocks.

    That is a rule about means. No number of seeds can show that a ticket is not below dense by anything at all, short
    of showing that it is above. So a win is *settled* only if the study settles that the ticket is above the dense
    network of its seed: if the interval of their difference, corrected for all comparisons, lies above zero.

    `rows` and `compared`, its `comparisons`, are of the summary; `source` is the branch of the unstructured tickets,
    which is listed too.

    Returns:
        `dense`: `test_accuracy` and `n`; `extreme`: branch -> None or the ticket's `level`, `n`, `test_accuracy`,
        `sparsity`, `macs_share` of the dense network's, and `structured_share`, all means over seeds, and whether its
        win is `settled`; `winning`, branch -> levels that win by their means; and `settled`, branch -> those of them
        whose win is settled. Controls are left out.
    """
    dense = _mean(rows, "dense", 0, "test_accuracy")
    above = {
        (one["treatment"], one["level"])
        for one in compared
        if one["control"] == "dense" and one["settled"] and one["mean"] > 0
    }
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
                "settled": (branch, level) in above,
            }
    return {
        "dense": {"test_accuracy": dense, "n": len(_of(rows, "dense", 0))},
        "extreme": extreme,
        "winning": winning,
        "settled": {
            branch: [level for level in found if (branch, level) in above] for branch, found in winning.items()
        },
    }


def _of(rows: Sequence[Mapping[str, Any]], branch: str, level: int) -> list[Mapping[str, Any]]:
    return [row for row in rows if (row["branch"], row["level"]) == (branch, level)]


def _mean(rows: Sequence[Mapping[str, Any]], branch: str, level: int, name: str) -> float:
    values = [row[name] for row in _of(rows, branch, level)]
    return round(math.fsum(values) / len(values), _DIGITS)
