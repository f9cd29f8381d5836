"""After how many rounds COLT and LTH reach a sparsity, and with what accuracy."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxticket.analysis import Pair

SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
BRANCHES = ("colt", "lth_matched", "lth", "random")
# COLT against its controls, the tickets of the first rounds that reach the same sparsity.
PAIRS = tuple(Pair("colt", branch, case=("sparsity",)) for branch in BRANCHES[1:])


def compare_with_lth(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For every sparsity that a branch reaches in all its seeds, the first round in which it does.

    Where tickets were not trained on the whole data set, the rows of the parts stand for COLT's.

    Returns:
        `sparsity`, `branch`, `n` seeds, and means over them: `rounds`, and `test_accuracy` of that round's tickets,
        None where it is not known.
    """
    evaluated = any(row["branch"] == "colt" for row in rows)
    found = []
    for branch in BRANCHES:
        name = "colt_part" if branch == "colt" and not evaluated else branch
        for sparsity, reached in _first_rounds(rows, name):
            found.append(
                {
                    "sparsity": sparsity,
                    "branch": branch,
                    "n": len(reached),
                    "rounds": _mean([row["level"] for row in reached]),
                    "test_accuracy": None if name == "colt_part" else _mean([row["test_accuracy"] for row in reached]),
                }
            )
    return found


def ticket_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the tickets of `compare_with_lth`, with that `sparsity` for their own and without a level.

    Where COLT comes to none of `SPARSITIES` they are those of every round, without a sparsity: `lth_matched` and
    `random` have as many weights as COLT in each. LTH at its own rate has not, and is not compared then.
    """
    first = {branch: _first_rounds(rows, branch) for branch in BRANCHES}
    if not first["colt"]:
        return [
            {name: value for name, value in row.items() if name != "sparsity"}
            for row in rows
            if row["branch"] in ("colt", "lth_matched", "random")
        ]
    return [
        {**row, "level": None, "sparsity": sparsity}
        for found in first.values()
        for sparsity, reached in found
        for row in reached
    ]


def _first_rounds(rows: Sequence[Mapping[str, Any]], branch: str) -> list[tuple[float, list[Mapping[str, Any]]]]:
    """(sparsity, the first row of each seed that is at least as sparse), for those that all seeds reach."""
    own = [row for row in rows if row["branch"] == branch and row.get("part", 1) == 1]
    seeds = sorted({row["seed"] for row in own})
    found = []
    for sparsity in SPARSITIES if seeds else ():
        first = [_first([row for row in own if row["seed"] == seed], sparsity) for seed in seeds]
        reached = [row for row in first if row is not None]
        if len(reached) < len(seeds):
            break
        found.append((sparsity, reached))
    return found


def _first(rows: Sequence[Mapping[str, Any]], sparsity: float) -> Mapping[str, Any] | None:
    return min((row for row in rows if row["sparsity"] >= sparsity), key=lambda row: row["level"], default=None)


def _mean(values: Sequence[float]) -> float:
    return round(math.fsum(values) / len(values), 9)
