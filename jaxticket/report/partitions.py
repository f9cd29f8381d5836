"""What a study of cyclic overlapping tickets measured beside its networks' accuracies, typed."""

import dataclasses
from collections.abc import Mapping

from jaxticket.core.errors import JaxticketError
from jaxticket.report.study import Study, number


@dataclasses.dataclass(frozen=True)
class Agreement:
    """What the parts of a round agreed on; a number that is missing is None.

    Attributes:
        seed: the replicate.
        level: the round.
        overlap: q, the share of what one part removes that another removes too.
        by_chance: what it would be for random choices.
        kept_expected: the kept share that follows from q, of the weights alive before.
        kept_measured: the kept share.
        layers: path -> overlap within the layer; layers that lost nothing are left out.
    """

    seed: int
    level: int
    overlap: float | None
    by_chance: float | None
    kept_expected: float | None
    kept_measured: float | None
    layers: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Reached:
    """In which round a series first reached a sparsity, means over seeds."""

    sparsity: float
    branch: str
    n: int
    rounds: float
    test_accuracy: float | None


def agreements(study: Study) -> list[Agreement]:
    """The rounds of all seeds, in the order they were made in; none for other studies."""
    found = []
    for entry in study.entries("colt_rounds"):
        names = ("overlap", "overlap_by_chance", "kept_expected", "kept_measured")
        seed, level = entry.get("seed"), entry.get("level")
        if not isinstance(seed, int) or not isinstance(level, int):
            raise JaxticketError(f"summary.json: colt_rounds has {seed=}, {level=}; run the experiment's command again")
        layers = entry.get("layers")
        layers = layers if isinstance(layers, Mapping) else {}
        known = {str(path): value for path, found in layers.items() if (value := number(found)) is not None}
        found.append(Agreement(seed, level, *(number(entry.get(name)) for name in names), layers=known))
    return found


def reached(study: Study) -> list[Reached]:
    """The sparsities that were reached, by branch, ascending."""
    found = []
    for entry in study.entries("colt"):
        sparsity, rounds = number(entry.get("sparsity")), number(entry.get("rounds"))
        if sparsity is not None and rounds is not None:
            branch, n = str(entry.get("branch")), int(number(entry.get("n")) or 0)
            found.append(Reached(sparsity, branch, n, rounds, number(entry.get("test_accuracy"))))
    return found


def break_even(study: Study) -> float | None:
    """The overlap at which two parts prune as fast as LTH, `2 - p_lth / p`; None unless each has a single rate."""
    config = study.config.get("config")
    if not isinstance(config, Mapping) or config.get("partitions") != 2 or not config.get("lth"):
        return None
    rates = {number(rate) for _, rate in config.get("rates", ()) if rate}
    lth_rates = {number(rate) for _, rate in config.get("lth_rates", ()) if rate}
    if len(rates) != 1 or len(lth_rates) != 1:
        return None
    (rate,), (lth_rate,) = rates, lth_rates
    return 2 - lth_rate / rate if rate and lth_rate else None
