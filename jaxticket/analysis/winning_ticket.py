"""Is it a winning ticket? The five conditions of the sanity checks, and what they cannot tell."""

import dataclasses
import math
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from jaxticket.core.errors import ConfigError

CONDITIONS: Mapping[int, str] = MappingProxyType(
    {
        1: "the sparsity is not trivial",
        2: "the ticket's best accuracy is clearly above that of a small dense network",
        3: "at some learning rate the ticket is clearly above random reinitialisation at every one",
        4: "at some learning rate the ticket is about as good as the dense network at that rate",
        5: "at some learning rate the ticket is about as good as the dense network at its best",
    }
)

Accuracies = Mapping[float, float]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What was decided, and on what grounds.

    Attributes:
        kind: `jackpot` (all conditions hold), `secondary` (all but the fifth), `none`, or `undecided`.
        conditions: number -> whether it holds; None where it cannot be evaluated. `CONDITIONS` has the words.
        margins: number -> by how much the best learning rate exceeds what the condition asks for, in accuracy, or the
            sparsity its minimum; None where it cannot be evaluated. Conditions 2 and 3 need a margin above 0, the
            others one of at least 0.
        by_rate: number -> learning rate -> margin, for the conditions that look at single rates (3, 4, 5).
        missing: what would have to be known for a decision.
    """

    kind: str
    conditions: Mapping[int, bool | None]
    margins: Mapping[int, float | None]
    by_rate: Mapping[int, Mapping[float, float]] = dataclasses.field(default_factory=dict)
    missing: tuple[str, ...] = ()


def verdict(
    *,
    dense: Accuracies | None,
    lt: Accuracies | None,
    rr: Accuracies | None,
    small_dense: Accuracies | None,
    sparsity: float,
    tolerance: float = 0.005,
    gap: float = 0.005,
    min_sparsity: float = 0.59,
    single_lr: bool = False,
    seeds: int | None = None,
) -> Verdict:
    """Decides whether a sparse network is a winning ticket at one sparsity (Ma et al. 2021, section 2.2).

    Differences are compared as decimals: 0.930 against 0.925 is exactly 0.005. A condition that fails decides even
    where another cannot be evaluated; a ticket is declared only when all that it needs could be.

    Args:
        dense: learning rate -> accuracy in [0, 1] of the dense network (the mean over seeds); None or empty: unknown.
        lt: of the ticket, the mask with the initial weights it was found with (or rewound ones).
        rr: of the same mask with other initial weights.
        small_dense: of a narrower dense network with about as many parameters.
        sparsity: removed share of the prunable weights.
        tolerance: how far below still counts as about as good: 0.005 for CIFAR-10, 0.01 for CIFAR-100 and
            Tiny-ImageNet, 0.015 for ImageNet.
        gap: clearly above is more than this.
        min_sparsity: from where a sparsity is not trivial.
        single_lr: whether conditions 3 to 5 must hold at one and the same learning rate, which the paper leaves open.
        seeds: how many seeds every accuracy is the mean of; a single one decides nothing. None: not known.

    Raises:
        ConfigError: an accuracy is no number in [0, 1].

    Example:
        >>> from jaxticket import analysis
        >>> rates = {"dense": {0.1: 0.90}, "lt": {0.1: 0.91}, "rr": {0.1: 0.85}, "small_dense": {0.1: 0.80}}
        >>> analysis.verdict(**rates, sparsity=0.9).conditions[1]
        True
    """
    known = {"dense": dense, "lt": lt, "rr": rr, "small_dense": small_dense}
    of = {name: _decimals(name, accuracies or {}) for name, accuracies in known.items()}
    missing = [_WORDS[name] for name, accuracies in of.items() if not accuracies]
    common = of["dense"].keys() & of["lt"].keys()
    if of["dense"] and of["lt"] and not common:
        missing.append("a learning rate at which both the dense network and the ticket were trained")

    if seeds == 1:
        missing.append("a second seed")
    small, margins = _exact(gap), {1: _exact(sparsity) - _exact(min_sparsity)}
    by_rate: dict[int, dict[float, Decimal]] = {}
    if of["lt"] and of["small_dense"]:
        margins[2] = max(of["lt"].values()) - max(of["small_dense"].values()) - small
    if of["lt"] and of["rr"]:
        by_rate[3] = {lr: value - max(of["rr"].values()) - small for lr, value in of["lt"].items()}
    if common:
        by_rate[4] = {lr: of["lt"][lr] - of["dense"][lr] + _exact(tolerance) for lr in sorted(common)}
    if of["dense"] and of["lt"]:
        by_rate[5] = {lr: value - max(of["dense"].values()) + _exact(tolerance) for lr, value in of["lt"].items()}
    margins |= {number: max(values.values()) for number, values in by_rate.items()}
    conditions = {number: _holds(number, margins[number]) if number in margins else None for number in CONDITIONS}
    return Verdict(
        kind="undecided" if seeds == 1 else _kind(conditions, by_rate, single_lr),
        conditions=conditions,
        margins={number: float(margins[number]) if number in margins else None for number in CONDITIONS},
        by_rate={number: {lr: float(value) for lr, value in values.items()} for number, values in by_rate.items()},
        missing=tuple(missing),
    )


_WORDS = {
    "dense": "the dense network (dense)",
    "lt": "the ticket (lt)",
    "rr": "the mask with other initial weights (rr)",
    "small_dense": "a small dense network (small_dense)",
}


def _kind(
    conditions: Mapping[int, bool | None], by_rate: Mapping[int, Mapping[float, Decimal]], single_lr: bool
) -> str:
    needed = [conditions[number] for number in (1, 2, 3, 4)]
    if False in needed:
        return "none"
    if None in needed:
        return "undecided"
    if not single_lr:
        return "jackpot" if conditions[5] else "secondary"
    secondary = [lr for lr in by_rate[4] if all(_holds(number, by_rate[number][lr]) for number in (3, 4))]
    if not secondary:
        return "none"
    return "jackpot" if any(_holds(5, by_rate[5][lr]) for lr in secondary) else "secondary"


def _holds(number: int, margin: Decimal) -> bool:
    return margin > 0 if number in (2, 3) else margin >= 0


def _decimals(name: str, accuracies: Accuracies) -> dict[float, Decimal]:
    for lr, value in accuracies.items():
        if not (isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1):
            raise ConfigError(f"verdict({name}={{{lr}: {value!r}}}): must be an accuracy in [0, 1]")
    return {lr: _exact(value) for lr, value in accuracies.items()}


def _exact(value: float) -> Decimal:
    """The decimal a person would write; what lies beyond the tenth digit is the noise of a mean of floats."""
    return round(Decimal(repr(float(value))), 10)
