"""When tickets emerge: maps of the distances between masks, and the distances that the rule compares."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxticket.report import Axis, Note, Panels, Study, TablePanel, text, theme
from jaxticket.report.figures import slug
from jaxticket.report.panels import HeatmapPanel, Level, Line, LinesPanel, Mark
from jaxticket.report.points import symmetric
from jaxticket.report.records import record_field
from jaxticket.report.section import Part, Section


def _matrices(value: Mapping[str, Any]) -> dict[float, np.ndarray]:
    return {float(ratio): symmetric(lines) for ratio, lines in value.items()}


def _by_ratio(value: Mapping[str, Any]) -> dict[float, float]:
    return {float(ratio): float(distance) for ratio, distance in value.items()}


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
    """How far the masks of one seed's training are apart, and the rule, see `jaxticket.analysis.emergence`.

    Attributes:
        kind: `channel` or `unstructured`.
        step: epochs from one mask to the next.
        matrices: ratio -> float [T, T], NaN where not known.
        scale: `none`, or `chance` where `epsilon` is in units of `by_chance`.
        by_chance: ratio -> the distance of two random masks; empty for studies that do not say.
    """

    seed: int
    kind: str
    rule: str
    window: int
    epsilon: float
    step: float = record_field("epochs_per_look")
    matrices: Mapping[float, np.ndarray] = record_field("rows", _matrices)
    scale: str = record_field("epsilon_scale", default="none")
    by_chance: Mapping[float, float] = record_field(read=_by_ratio, default_factory=dict)

    def limit(self, ratio: float) -> float:
        """The largest distance that the rule allows."""
        return self.epsilon * (self.by_chance.get(ratio, 1.0) if self.scale == "chance" else 1.0)


@dataclasses.dataclass(frozen=True)
class FinalMask:
    """How the early mask of one ratio and seed compares with that of the trained network; None: not known.

    Shares of what the early mask removes, and of the channels or weights in which the two differ, the latter also in
    units of the distance of random masks: 0 is equal, 1 is chance.
    """

    seed: int
    ratio: float
    overlap: float | None = None
    overlap_by_chance: float | None = None
    distance: float | None = None
    distance_scaled: float | None = None


def emergence_section(study: Study) -> Section | None:
    """A table of epochs, and for each ratio a map and a panel of distances."""
    found = study.records("early_bird", Emergence)
    distances = next(iter(study.records("mask_distance", Distances)), None)
    final = study.records("final_mask", FinalMask)
    if not found:
        return None
    seeds = list(dict.fromkeys(entry.seed for entry in found))
    at = {(entry.ratio, entry.seed): entry.epoch for entry in found}
    rows = [
        [text.share(ratio), *("none" if (epoch := at.get((ratio, seed))) is None else f"{epoch:g}" for seed in seeds)]
        for ratio in dict.fromkeys(entry.ratio for entry in found)
    ]
    head = ("pruned", *(f"seed {seed}" for seed in seeds))
    parts: list[Part] = [Note(_rule(found, distances)), TablePanel("Epochs of emergence", head, rows)]
    fields = ("overlap", "overlap_by_chance", "distance", "distance_scaled")
    if final:
        ratios = dict.fromkeys(one.ratio for one in final)
        means = [(ratio, [_mean(final, ratio, name) for name in fields]) for ratio in ratios]
        shown = [
            [text.share(ratio), *map(text.share, values[:2]), *(None if v is None else f"{v:.3f}" for v in values[2:])]
            for ratio, values in means
        ]
        head = ("pruned", "also removed in the end", "by chance", "distance", "over chance")
        parts += [Note(_FINAL), TablePanel("The early mask and the final one", head, shown)]
    tables: dict[str, Sequence[Sequence[Any]]] = {
        "emergence": [
            ("ratio", "seed", "emergence_epoch", "draw_epoch"),
            *((one.ratio, one.seed, one.epoch, one.drawn) for one in found),
        ],
        "final_mask": [
            ("ratio", "seed", *fields),
            *((one.ratio, one.seed, *(getattr(one, name) for name in fields)) for one in final),
        ],
    }
    if distances is not None and distances.matrices:
        known = [(ratio, matrix, at.get((ratio, distances.seed))) for ratio, matrix in distances.matrices.items()]
        maps = [_map(ratio, matrix, epoch, distances.step) for ratio, matrix, epoch in known]
        lines = [_distances(ratio, matrix, epoch, distances) for ratio, matrix, epoch in known]
        parts += [Note(_MAPS.format(distances.seed)), Panels(maps), Panels(lines)]
        for ratio, matrix in distances.matrices.items():
            epochs = [distances.step * (i + 1) for i in range(len(matrix))]
            each = [(epoch, *line.tolist()) for epoch, line in zip(epochs, matrix, strict=True)]
            tables[f"mask_distance_p{ratio}"] = [("epoch", *epochs), *each]
    return Section("emergence", "When tickets emerge", parts, tables, after="found")


_FINAL = (
    "That a mask no longer moves does not say that it is right. Of what the early mask removes, this share is "
    "removed by the mask of the trained network too, next to what random choices would share; and the distance of "
    "the two, also in units of random masks (1 is chance, 0 is equal). Means over the seeds."
)
_MAPS = (
    "Distances between the masks of all epochs of seed {}: bright is equal, dark is different; the dashed corner is "
    "the emergence. Below, the distances that the rule compares, with the largest one allowed (dashed) and the "
    "emergence (dotted)."
)


def _rule(found: list[Emergence], distances: Distances | None) -> str:
    said = [
        "The epoch after which the ticket of a ratio has emerged: the mask that pruning would draw no longer moves by "
        "more than the largest distance allowed."
    ]
    if distances is not None:
        epsilon, window = f"{distances.epsilon:g}", distances.window
        if distances.rule == "latest_vs_window":
            said.append(f"The newest of {window} masks is at most {epsilon} from each of the others.")
        else:
            said.append(f"Each of the last {window} distances from one mask to the next is less than {epsilon}.")
        if distances.scale == "chance":
            said.append("These are in units of the distance of two random masks of the ratio, 2p(1 \N{MINUS SIGN} p).")
        kind = "channels" if distances.kind == "channel" else "weights"
        said.append(f"A distance is the share of {kind} in which two masks differ.")
    late = [f"{text.share(one.ratio)} in seed {one.seed}" for one in found if one.epoch is not None and one.at_end]
    if late:
        said.append(
            f"The ticket of {text.listing(late)} emerged after the last epoch: drawn at the end of training, so "
            "nothing was early."
        )
    if any(one.epoch is None for one in found):
        said.append("Where no ticket emerged it was drawn at the end of training.")
    return " ".join(said)


def _mean(found: list[FinalMask], ratio: float, name: str) -> float | None:
    values = [value for one in found if one.ratio == ratio and (value := getattr(one, name)) is not None]
    return sum(values) / len(values) if values else None


def window_distance(matrix: np.ndarray, distances: Distances) -> list[tuple[int, float]]:
    """(number of the mask, the largest distance that the rule compares there), where it has enough masks."""
    window, size = distances.window, len(matrix)
    if distances.rule == "latest_vs_window":
        return [(i + 1, float(matrix[i, i - window + 1 : i].max())) for i in range(window - 1, size)]
    steps = np.diagonal(matrix, 1)
    return [(i + 1, float(steps[i - window : i].max())) for i in range(window, size)]


def _map(ratio: float, matrix: np.ndarray, epoch: float | None, step: float) -> HeatmapPanel:
    first, end = step / 2, step * len(matrix) + step / 2
    said, ink = "does not emerge" if epoch is None else f"emerges after epoch {epoch:g}", theme.light("ink")
    corner = [] if epoch is None else [Line("", [(epoch, first), (epoch, epoch)], ink, "", theme.DASHED)]
    corner += [] if epoch is None else [Line("", [(first, epoch), (epoch, epoch)], ink, "", theme.DASHED)]
    return HeatmapPanel(
        f"mask_distance_p{slug(f'{ratio:g}')}",
        f"{text.share(ratio)} pruned",
        f"Distances of the masks of {len(matrix)} moments from each other, {text.share(ratio)} pruned; it {said}",
        Axis("Epoch", "whole"),
        Axis("Epoch"),
        values=matrix,
        limits=(0, 1),
        extent=(first, end, first, end),
        upwards=True,
        lines=corner,
        marks=[] if epoch is None else [Mark(epoch, epoch, ink, "s", 7)],
        bar=(0, 0.5, 1),
    )


def _distances(ratio: float, matrix: np.ndarray, epoch: float | None, distances: Distances) -> LinesPanel:
    step, muted = distances.step, theme.light("muted")
    before = [(step * (i + 2), float(distance)) for i, distance in enumerate(np.diagonal(matrix, 1))]
    largest = [(step * i, distance) for i, distance in window_distance(matrix, distances)]
    levels = [Level(distances.limit(ratio))]
    if ratio in distances.by_chance:
        levels.append(Level(distances.by_chance[ratio], "random masks", muted))
    if epoch is not None:
        levels.append(Level(epoch, "", muted, theme.DOTTED, across="x"))
    return LinesPanel(
        f"distance_p{slug(f'{ratio:g}')}",
        f"{text.share(ratio)} pruned",
        f"Distance of every mask to the one before, and the largest in the window, {text.share(ratio)} pruned",
        Axis("Epoch", "whole"),
        Axis("Mask distance", low=0),
        lines=[
            Line("to the one before", before, theme.series(0), "o", size=3.5),
            Line("largest in the window", largest, theme.series(1), "s", size=3.5),
        ],
        levels=levels,
        legend=2,
    )
