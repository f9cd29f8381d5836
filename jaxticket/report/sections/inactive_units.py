"""How often units are inactive, what the masks of several activations have in common, and which filters are empty."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxticket.report import text, theme
from jaxticket.report.axis import Axis
from jaxticket.report.figures import slug
from jaxticket.report.panels import HeatmapPanel, Level, Line, LinesPanel, Panel
from jaxticket.report.parts import Note, Panels, TablePanel
from jaxticket.report.points import lines_by, symmetric
from jaxticket.report.records import record_field
from jaxticket.report.section import Part, Section
from jaxticket.report.study import Study

_COLUMNS = 60


@dataclasses.dataclass(frozen=True)
class LayerRates:
    """Of one layer: shares of exact zeros and of outputs near zero, and how many channels are dead."""

    layer: str
    zero: float
    near_zero: float
    dead: int


@dataclasses.dataclass(frozen=True)
class _Named:
    """A network, by its activation and, where there are several, its seed."""

    activation: str
    seed: int | None = dataclasses.field(default=None, kw_only=True)

    @property
    def name(self) -> str:
        """Of the network."""
        return self.activation + ("" if self.seed is None else f", seed {self.seed}")


@dataclasses.dataclass(frozen=True)
class Measurement(_Named):
    """How often the units of each layer are inactive after an epoch."""

    epoch: float
    layers: tuple[LayerRates, ...]


@dataclasses.dataclass(frozen=True)
class FilterCounts:
    """How many filters a layer has, and how many of them are empty."""

    path: str
    filters: int
    empty: int


@dataclasses.dataclass(frozen=True)
class Filters(_Named):
    """How empty filters are: their numbers by the share of weights removed, and a 0 or 1 (empty) for each in `map`."""

    sparsity: float
    layers: tuple[FilterCounts, ...]
    histogram: tuple[int, ...]
    map: str


@dataclasses.dataclass(frozen=True)
class _MaskName:
    activation: str
    sparsity: float


@dataclasses.dataclass(frozen=True, eq=False)
class MaskDistances:
    """The distances, float [N, N], of N masks."""

    masks: tuple[_MaskName, ...]
    rows: np.ndarray = record_field(read=symmetric)

    def __post_init__(self) -> None:
        """Refuses a matrix of other masks, or with a distance that is not known."""
        if len(self.masks) != len(self.rows) or not (self.rows == self.rows).all():
            raise ValueError(f"{len(self.rows)} rows of distances for {len(self.masks)} masks, or one without a number")


def inactive_units_section(study: Study) -> Section | None:
    """Rates by layer and over training, a map of mask distances, empty filters; None where none were measured."""
    found, empty = study.records("silence", Measurement), study.records("silent_filters", Filters)
    distances = next(iter(study.records("activation_masks", MaskDistances)), None)
    if not found:
        return None
    last = list({entry.name: entry for entry in found}.values())
    panels: list[Panel] = [_by_layer(last)]
    if len(found) > len(last):
        panels.append(_over_training(found))
    if distances is not None and len(distances.masks) > 1:
        panels.append(_distances(distances))
    sparsities = sorted({one.sparsity for one in empty})
    sparsest = [one for one in empty if one.sparsity == sparsities[-1]]
    if sparsest:
        panels += [_histogram(sparsest), *(_filter_map(one) for one in sparsest)]
    of_one = any(entry.seed is not None for entry in found)
    note = (
        "The network under its mask, on the test images; smooth activations come near zero at large negative inputs "
        "too. A "
        if of_one
        else "Dense networks with several activations, on the test images; the smooth ones come near zero at large "
        "negative inputs too. Their masks are those of the largest weights; a "
    )
    note += "filter is empty when more than nine tenths of its weights are removed (dotted in the histogram)."
    parts: list[Part] = [Note(note + ("" if of_one else " One seed.")), Panels(panels)]
    if empty:
        counts = {
            (one.name, one.sparsity): f"{sum(layer.empty for layer in one.layers):,} of {len(one.map):,}"
            for one in reversed(empty)
        }
        names = dict.fromkeys(one.name for one in empty)
        rows = [[name, *(counts.get((name, sparsity)) for sparsity in sparsities)] for name in names]
        parts.append(TablePanel("Empty filters", ("empty filters", *map(text.sparsity_text, sparsities)), rows))
    return Section("silence", "Inactive units and empty filters", parts, _tables(found, empty, distances))


def _tables(
    found: Iterable[Measurement], empty: Iterable[Filters], distances: MaskDistances | None
) -> Mapping[str, Sequence[Sequence[Any]]]:
    """A line for each layer of a measurement, and of a mask; and for each mask its distances to all others."""
    rates = [(one.name, one.epoch, *dataclasses.astuple(layer)) for one in found for layer in one.layers]
    filters = [(one.name, one.sparsity, *dataclasses.astuple(layer)) for one in empty for layer in one.layers]
    tables: dict[str, Sequence[Sequence[Any]]] = {
        "silence": [("activation", "epoch", "layer", "zero", "near_zero", "dead"), *rates],
        "silent_filters": [("activation", "sparsity", "layer", "filters", "empty"), *filters],
    }
    if distances is not None:
        names = [f"{mask.activation} {mask.sparsity}" for mask in distances.masks]
        lines = [(name, *line.tolist()) for name, line in zip(names, distances.rows, strict=True)]
        tables["activation_masks"] = [("mask", *names), *lines]
    return tables


def _by_layer(last: list[Measurement]) -> LinesPanel:
    shares = [(one.name, i, layer.near_zero) for one in last for i, layer in enumerate(one.layers, 1)]
    alt = "Share of outputs near zero in the last measurement, by layer"
    return _near_zero("near_zero_by_layer", alt, "Layer by layer", "Activation, from the first to the last", shares)


def _over_training(found: list[Measurement]) -> LinesPanel:
    means = [math.fsum(layer.near_zero for layer in one.layers) / max(len(one.layers), 1) for one in found]
    shares = [(one.name, one.epoch, mean) for one, mean in zip(found, means, strict=True)]
    alt = "Share of outputs near zero over training"
    return _near_zero("near_zero_over_training", alt, "Over training, mean of layers", "Epoch", shares)


def _near_zero(name: str, alt: str, title: str, across: str, shares: Sequence[tuple[str, float, float]]) -> LinesPanel:
    """A line for each network, of (its name, x, share near zero)."""
    lines = lines_by(shares, x=lambda one: one[1], y=lambda one: 100 * one[2], by=lambda one: one[0])
    return LinesPanel(name, title, alt, Axis(across, "whole"), Axis("Near zero (%)", low=0), lines=lines)


def _distances(distances: MaskDistances) -> HeatmapPanel:
    labels = [f"{mask.activation} {text.sparsity_text(mask.sparsity)}" for mask in distances.masks]
    ticks = {float(i): label for i, label in enumerate(labels)}
    return HeatmapPanel(
        "activation_masks",
        "Distances of masks",
        f"Share of weights in which the masks of {', '.join(labels)} differ",
        Axis(ticks=ticks, names=True),
        Axis(ticks=ticks, names=True),
        values=distances.rows,
        bar=(),
    )


def _histogram(sparsest: list[Filters]) -> LinesPanel:
    lines = []
    for i, one in enumerate(sparsest):
        width = 100 / max(len(one.histogram), 1)
        steps = [
            (at, float(count)) for bin, count in enumerate(one.histogram) for at in (bin * width, (bin + 1) * width)
        ]
        lines.append(Line(one.name, [(0.0, 0.0), *steps, (100.0, 0.0)], theme.series(i), "", width=1.6))
    return LinesPanel(
        "filter_histogram",
        f"Filters at {text.sparsity_text(sparsest[0].sparsity)}",
        "Number of filters by the share of their weights that is removed",
        Axis("Weights removed (%)"),
        Axis("Filters"),
        lines=lines,
        levels=[Level(90, "", theme.light("muted"), theme.DOTTED, across="x")],
    )


def _filter_map(one: Filters) -> HeatmapPanel:
    width = min(_COLUMNS, len(one.map)) or 1
    flags = [float(flag) for flag in one.map] + [math.nan] * (-len(one.map) % width)
    return HeatmapPanel(
        f"filter_map_{slug(one.name)}",
        f"{one.name}, {text.sparsity_text(one.sparsity)} sparse",
        f"Map of the {len(one.map)} filters of the {one.name} network; {one.map.count('1')} are empty",
        Axis("Every filter, layer by layer; black is empty", ticks=()),
        Axis(ticks=()),
        values=[flags[first : first + width] for first in range(0, len(flags), width)],
        colours="gray_r",
        limits=(0, 1),
        stretch=True,
    )
