"""What a study with aids of training found beside its accuracies, typed."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from jaxticket.report.early_birds import symmetric
from jaxticket.report.study import Study, number

_T = TypeVar("_T")
# Experiments that look at how silent networks are.
_ANALYSED = ("tost", "train")


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean with its interval of 95 %, which one value does not have."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclasses.dataclass(frozen=True)
class Cell:
    """The networks of one source, sparsity and choice of aids; `difference` is paired, None for the plain ones."""

    source: str
    level: int
    sparsity: float
    name: str
    accuracy: Interval
    difference: Interval | None


@dataclasses.dataclass(frozen=True)
class Silence:
    """How silent each layer is at one look: layer -> (share of exact zeros, share near zero, dead channels).

    `activation` names the network: with its seed where there are several.
    """

    activation: str
    epoch: float
    layers: Mapping[str, tuple[float, float, int]]

    @property
    def near_zero(self) -> float:
        """The mean share near zero over the layers."""
        return float(np.mean([near for _, near, _ in self.layers.values()]))


@dataclasses.dataclass(frozen=True)
class Filters:
    """How empty the filters are: path -> (filters, empty ones), their counts by share gone, and a flag for each."""

    activation: str
    sparsity: float
    layers: Mapping[str, tuple[int, int]]
    histogram: tuple[int, ...]
    empty: tuple[bool, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class MaskDistances:
    """The distances, float [N, N], of masks named (activation, sparsity)."""

    names: tuple[tuple[str, float], ...]
    matrix: np.ndarray


def cells(study: Study) -> list[Cell]:
    """The entries of `summary["aids"]`.

    Raises:
        JaxticketError: an entry is not what the experiment writes.
    """

    def read(entry: Mapping[str, Any]) -> Cell:
        difference = entry["difference"]
        return Cell(
            str(entry["source"]),
            int(entry["level"]),
            float(entry["sparsity"]),
            str(entry["cell"]),
            _interval(entry["accuracy"]),
            None if difference is None else _interval(difference),
        )

    return _read(study, "aids", read)


def silences(study: Study) -> list[Silence]:
    """The entries of `summary["silence"]`; raises as `cells` does."""

    def read(entry: Mapping[str, Any]) -> Silence:
        layers = {
            str(one["layer"]): (float(one["zero"]), float(one["near_zero"]), int(one["dead"]))
            for one in entry["layers"]
        }
        return Silence(_network(entry), float(entry["epoch"]), layers)

    return _read(study, "silence", read, of=_ANALYSED)


def filters(study: Study) -> list[Filters]:
    """The entries of `summary["silent_filters"]`; raises as `cells` does."""

    def read(entry: Mapping[str, Any]) -> Filters:
        layers = {str(one["path"]): (int(one["filters"]), int(one["empty"])) for one in entry["layers"]}
        flags = tuple(flag == "1" for flag in str(entry["map"]))
        counts = tuple(int(count) for count in entry["histogram"])
        return Filters(_network(entry), float(entry["sparsity"]), layers, counts, flags)

    return _read(study, "silent_filters", read, of=_ANALYSED)


def mask_distances(study: Study) -> MaskDistances | None:
    """The first entry of `summary["activation_masks"]`, None where there is none; raises as `cells` does."""

    def read(entry: Mapping[str, Any]) -> MaskDistances:
        names = tuple((str(one["activation"]), float(one["sparsity"])) for one in entry["masks"])
        matrix = symmetric(entry["rows"])
        if len(names) != len(matrix) or np.isnan(matrix).any():
            raise ValueError(f"{len(matrix)} rows of distances for {len(names)} masks, or one without a number")
        return MaskDistances(names, matrix)

    return next(iter(_read(study, "activation_masks", read)), None)


def _interval(value: Mapping[str, Any]) -> Interval:
    return Interval(float(value["mean"]), number(value["low"]), number(value["high"]), int(value["n"]))


def _network(entry: Mapping[str, Any]) -> str:
    return str(entry["activation"]) + (f", seed {int(entry['seed'])}" if "seed" in entry else "")


def _read(study: Study, name: str, read: Callable[[Mapping[str, Any]], _T], of: Sequence[str] = ("tost",)) -> list[_T]:
    return study.parsed(name, read) if study.summary.get("experiment") in of else []
