"""The stored rows of the studies, and what the documents compare in them."""

import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# seed -> test accuracy
Accuracies = dict[int, float]


@functools.cache
def study(name: str) -> Mapping[str, Any]:
    """The study `docs/results/NAME.json`: its command, machine, versions and rows, one for each trained network."""
    return json.loads((ROOT / "docs" / "results" / f"{name}.json").read_text())


@functools.cache
def benchmark(name: str) -> Mapping[str, Any]:
    """The measurement `benchmarks/results/NAME-amd-epyc-jax0.10.2.json`."""
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}-amd-epyc-jax0.10.2.json").read_text())


def accuracies(rows: Iterable[Mapping[str, Any]], **which: Any) -> Accuracies:
    """Test accuracies by seed of the rows that have these values, such as `branch="imp", level=3`.

    Raises:
        ValueError: no row has them, or two of one seed.
    """
    found: Accuracies = {}
    for row in rows:
        if all(row.get(key) == value for key, value in which.items()):
            if row["seed"] in found:
                raise ValueError(f"two rows of seed {row['seed']} have {which}")
            found[row["seed"]] = row["test_accuracy"]
    if not found:
        raise ValueError(f"no row has {which}")
    return found


def values(rows: Iterable[Mapping[str, Any]], key: str, **which: Any) -> list[Any]:
    """The distinct values of `key` in rows with these values, in the order of the rows."""
    found = [row[key] for row in rows if key in row and all(row.get(name) == value for name, value in which.items())]
    return list(dict.fromkeys(found))


def mean(numbers: Iterable[float]) -> float:
    """The arithmetic mean."""
    numbers = list(numbers)
    return sum(numbers) / len(numbers)
