"""From the rows of a study with aids to what each aid is worth."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from jaxticket import analysis
from jaxticket.experiments.tost.options import PLAIN

# seed -> test accuracy
_Accuracies = dict[int, float]


def compare_treatments(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The test accuracy of every source, sparsity and cell, and its difference from the plain network; JSON-ready.

    Differences are paired: networks of one seed share their mask, their initial weights and the order of their data.

    Returns:
        One entry for each source, level and cell, in the order of the rows: `accuracy` and, but for the plain network,
        `difference`, each with `mean`, `low`, `high` (95 %), `n` and `std`.
    """
    found: dict[tuple[str, int, str], _Accuracies] = {}
    sparsities: dict[tuple[str, int], float] = {}
    for row in rows:
        if "aids" in row and row["test_accuracy"] is not None:
            found.setdefault((row["branch"], row["level"], row["aids"]), {})[row["seed"]] = row["test_accuracy"]
            sparsities[row["branch"], row["level"]] = row["sparsity"]
    entries = []
    for (source, level, cell), accuracies in found.items():
        plain = found.get((source, level, PLAIN), {})
        paired = cell != PLAIN and plain.keys() & accuracies.keys()
        difference = dataclasses.asdict(analysis.paired_difference(accuracies, plain)) if paired else None
        entries.append(
            {
                "source": source,
                "level": level,
                "sparsity": sparsities[source, level],
                "cell": cell,
                "accuracy": dataclasses.asdict(analysis.mean_interval(list(accuracies.values()))),
                "difference": difference,
            }
        )
    return entries
