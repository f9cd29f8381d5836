"""What a study of early-bird tickets found beside its accuracies: when masks settled, which channels stay; typed."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from jaxticket.report.study import Study, number

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Emergence:
    """When the ticket of one ratio emerged in one seed; `epoch` is None where it did not, `at_end` is of its draw."""

    seed: int
    ratio: float
    epoch: float | None
    drawn: float
    at_end: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Distances:
    """How far the masks of one seed's training are apart.

    Attributes:
        seed: the replicate.
        kind: `channel` or `unstructured`.
        rule: when a ticket emerges, see `jaxticket.analysis.emergence`.
        window: what the rule looks at.
        epsilon: the largest distance.
        step: epochs from one mask to the next.
        matrices: ratio -> float [T, T], NaN where not known.
        scale: `none`, or `chance` where `epsilon` is in units of `by_chance`.
        by_chance: ratio -> what two random masks would be apart; empty for studies that do not say.
    """

    seed: int
    kind: str
    rule: str
    window: int
    epsilon: float
    step: float
    matrices: Mapping[float, np.ndarray]
    scale: str = "none"
    by_chance: Mapping[float, float] = dataclasses.field(default_factory=dict)

    def limit(self, ratio: float) -> float:
        """The largest distance that the rule allows."""
        return self.epsilon * (self.by_chance.get(ratio, 1.0) if self.scale == "chance" else 1.0)


@dataclasses.dataclass(frozen=True)
class FinalMask:
    """How the early mask of one ratio and seed compares with the mask of the trained network; None: not known.

    Attributes:
        seed: the replicate.
        ratio: share of the channels or weights that goes.
        overlap: share of what the early mask removes that the final one removes too.
        by_chance: what that would be for random choices.
        distance: share of the channels or weights in which the two differ.
        scaled: the same in units of what random masks would be apart: 0 is equal, 1 is chance.
    """

    seed: int
    ratio: float
    overlap: float | None
    by_chance: float | None
    distance: float | None
    scaled: float | None


@dataclasses.dataclass(frozen=True)
class KeptChannels:
    """The channels of every layer before and after a draw; `held` layers would have kept none or too few."""

    branch: str
    level: int
    seed: int
    ratio: float
    layers: tuple[tuple[str, int, int, bool], ...]


def is_early_bird(study: Study) -> bool:
    """Whether the study is one of early-bird tickets."""
    return study.summary.get("experiment") == "early_bird"


def emergences(study: Study) -> list[Emergence]:
    """The entries of `summary["early_bird"]`.

    Raises:
        JaxticketError: an entry is not what the experiment writes.
    """

    def read(entry: Mapping[str, Any]) -> Emergence:
        at_end = bool(entry.get("at_end"))
        epoch, drawn = number(entry.get("epoch")), float(entry["drawn"])
        return Emergence(int(entry["seed"]), float(entry["ratio"]), epoch, drawn, at_end)

    return _read(study, "early_bird", read)


def mask_distances(study: Study) -> Distances | None:
    """The first entry of `summary["mask_distance"]`, None where there is none; raises as `emergences` does."""

    def read(entry: Mapping[str, Any]) -> Distances:
        rows = {float(ratio): symmetric(lines) for ratio, lines in entry["rows"].items()}
        how = (str(entry["kind"]), str(entry["rule"]), int(entry["window"]), float(entry["epsilon"]))
        chance = {float(ratio): float(value) for ratio, value in entry.get("by_chance", {}).items()}
        scale = str(entry.get("epsilon_scale", "none"))
        return Distances(int(entry["seed"]), *how, float(entry["epochs_per_look"]), rows, scale, chance)

    return next(iter(_read(study, "mask_distance", read)), None)


def final_masks(study: Study) -> list[FinalMask]:
    """The entries of `summary["final_mask"]`; raises as `emergences` does."""

    def read(entry: Mapping[str, Any]) -> FinalMask:
        names = ("overlap", "overlap_by_chance", "distance", "distance_scaled")
        return FinalMask(int(entry["seed"]), float(entry["ratio"]), *(number(entry.get(name)) for name in names))

    return _read(study, "final_mask", read)


def kept_channels(study: Study) -> list[KeptChannels]:
    """The entries of `summary["channels"]`; raises as `emergences` does."""

    def read(entry: Mapping[str, Any]) -> KeptChannels:
        layers = tuple(
            (str(layer["path"]), int(layer["before"]), int(layer["after"]), bool(layer["held"]))
            for layer in entry["layers"]
        )
        return KeptChannels(
            str(entry["branch"]), int(entry["level"]), int(entry["seed"]), float(entry["ratio"]), layers
        )

    return _read(study, "channels", read)


def _read(study: Study, name: str, read: Callable[[Mapping[str, Any]], _T]) -> list[_T]:
    return study.parsed(name, read) if is_early_bird(study) else []


def symmetric(lines: Any) -> np.ndarray:
    """The symmetric matrix of which `lines` is what lies under the diagonal."""
    matrix = np.zeros((len(lines), len(lines)))
    for i, line in enumerate(lines):
        if len(line) != i:
            raise ValueError(f"line {i} has {len(line)} distances")
        matrix[i, :i] = matrix[:i, i] = [np.nan if distance is None else float(distance) for distance in line]
    return matrix
