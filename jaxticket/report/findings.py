"""What a study measured beside its networks' accuracies: correlation, instability and overlap of masks, typed."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from jaxticket.core.errors import JaxticketError
from jaxticket.report.study import Study, number

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Correlation:
    """How far the largest weights before and after training are the same ones.

    Attributes:
        lr: learning rate.
        level: round of pruning; 0 for the dense network.
        mask: `dense`, or how the mask was found, such as `imp`.
        start: `init` against the weights the network started from, `reinit` against others.
        seed: the replicate.
        value: the indicator, in [0, 1]; None where it is not defined.
        layers: path -> the indicator of one layer.
    """

    lr: float
    level: int
    mask: str
    start: str
    seed: int
    value: float | None
    layers: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Instability:
    """The test error on the straight way between two networks trained from one start in different data orders.

    Attributes:
        lr: learning rate.
        branch: of both networks.
        level: round of pruning.
        seed: the replicate.
        barrier: by how much the highest error exceeds the line between the ends, in [0, 1]; None where unknown.
        errors: (position from 0 to 1, test error), in order.
    """

    lr: float
    branch: str
    level: int
    seed: int
    barrier: float | None
    errors: tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True)
class MaskOverlap:
    """What two masks of equal sparsity have in common.

    Attributes:
        lr: learning rate.
        level: round of pruning.
        between: `seeds` or `kinds`.
        kind: of the masks, such as `imp`; of two kinds `imp-omp`.
        seeds: whose masks they are.
        jaccard: kept in both over kept in either.
        chance: what random masks of the same layer densities would have.
    """

    lr: float
    level: int
    between: str
    kind: str
    seeds: tuple[int, ...]
    jaccard: float | None
    chance: float | None


def correlations(study: Study) -> list[Correlation]:
    """The entries of `summary["correlation"]`.

    Raises:
        JaxticketError: an entry lacks what tells it from others.
    """

    def read(entry: Mapping[str, Any], where: str) -> Correlation:
        layers = entry.get("layers")
        layers = layers if isinstance(layers, Mapping) else {}
        return Correlation(
            **_known(entry, where, lr=float, level=int, mask=str, start=str, seed=int),
            value=number(entry.get("correlation")),
            layers={str(path): found for path, value in layers.items() if (found := number(value)) is not None},
        )

    return _read(study, "correlation", read)


def instabilities(study: Study) -> list[Instability]:
    """The entries of `summary["instability"]`; raises as `correlations` does."""

    def read(entry: Mapping[str, Any], where: str) -> Instability:
        pairs = zip(entry.get("positions") or (), entry.get("errors") or (), strict=False)
        numbers = [(number(at), number(error)) for at, error in pairs]
        return Instability(
            **_known(entry, where, lr=float, branch=str, level=int, seed=int),
            barrier=number(entry.get("barrier")),
            errors=tuple((at, error) for at, error in numbers if at is not None and error is not None),
        )

    return _read(study, "instability", read)


def overlaps(study: Study) -> list[MaskOverlap]:
    """The entries of `summary["overlap"]`; raises as `correlations` does."""

    def read(entry: Mapping[str, Any], where: str) -> MaskOverlap:
        return MaskOverlap(
            **_known(entry, where, lr=float, level=int, between=str, kind=str),
            seeds=tuple(entry.get("seeds") or ()),
            jaccard=number(entry.get("jaccard")),
            chance=number(entry.get("chance")),
        )

    return _read(study, "overlap", read)


def _read(study: Study, name: str, read: Callable[[Mapping[str, Any], str], _T]) -> list[_T]:
    return [read(entry, f"summary.json: {name}[{i}]") for i, entry in enumerate(study.entries(name))]


def _known(entry: Mapping[str, Any], where: str, **kinds: type) -> dict[str, Any]:
    """The named fields, checked."""
    for name, kind in kinds.items():
        value = entry.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
            raise JaxticketError(f"{where}: {name} is {value!r}; must be {_ALLOWED[kind]}")
    return {name: kind(entry[name]) for name, kind in kinds.items()}


_ALLOWED = {str: "a string", int: "a whole number", float: "a number"}
