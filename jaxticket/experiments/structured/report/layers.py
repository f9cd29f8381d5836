"""What became of every layer: density before and after, blocks, what was covered and what was filled."""

import dataclasses
from typing import Any

from markupsafe import Markup

from jaxticket.experiments.structured.report.winners import WHICH, is_slim, shown_levels
from jaxticket.report import Axis, Study, text, theme
from jaxticket.report.figures import slug
from jaxticket.report.panels import Line, LinesPanel, Panel
from jaxticket.report.parts import Collapsible, Note, Panels, TablePanel, code, wrapped
from jaxticket.report.records import record_field
from jaxticket.report.section import Part, Section
from jaxticket.report.sections.layers import natural

# Longer tables are folded.
_FEW_LAYERS = 8
_TIMES = "\N{MULTIPLICATION SIGN}"


@dataclasses.dataclass(frozen=True)
class StructuredLayer:
    """What became of one layer; shares are in [0, 1], None where they are not known.

    Attributes:
        shape: output channels and weights of each.
        blocks: (rows, columns) of each block.
        coverage: share of the weights kept before that are still kept.
        holes: share of the weights kept now that were not kept before.
        structured: whether every kept weight lies in a block or a whole channel.
        note: why there is no block, or why no more channels could be removed; else empty.
    """

    path: str
    shape: tuple[int, int]
    before: float | None = record_field("density", default=None)
    after: float | None = record_field("new_density", default=None)
    channels: int | None = None
    blocks: tuple[tuple[int, int], ...] = ()
    coverage: float | None = None
    holes: float | None = None
    structured: bool = False
    note: str = record_field(read=lambda value: str(value or ""), default="")


@dataclasses.dataclass(frozen=True)
class Structure:
    """The layers of one network's structured mask; shares are of all its prunable weights, as in a layer."""

    branch: str
    level: int
    seed: int
    layers: tuple[StructuredLayer, ...]
    before: float | None = record_field("density", default=None)
    after: float | None = record_field("new_density", default=None)
    coverage: float | None = None


def structure_section(study: Study) -> Section | None:
    """A panel and a table for one network of every method: that of the level shown, and of the first seed."""
    levels, found = shown_levels(study), study.records("structure", Structure)
    shown = []
    for branch in dict.fromkeys(entry.branch for entry in found if not is_slim(entry.branch)):
        own = [entry for entry in found if entry.branch == branch and entry.layers]
        here = [entry for entry in own if entry.level == levels.get(branch)] or own[-1:]
        if here:
            shown.append((here[0], sorted(here[0].layers, key=lambda layer: natural(layer.path))))
    if not found:
        return None
    seeds = len({entry.seed for entry in found})
    note = Markup(
        "{}{}. <em>Coverage</em> is the share of the weights kept before that are still kept, <em>holes</em> the "
        "share of those kept now that were not kept before. A layer is <em>structured</em> if all it keeps lies in "
        "whole channels or dense blocks; blocks are output channels \N{MULTIPLICATION SIGN} weights of each."
    ).format(WHICH, "; the networks of the first seed, all are in the table to take away" if seeds > 1 else "")
    panels: list[Panel] = [_panel(entry, layers) for entry, layers in shown if len(layers) > 1]
    parts: list[Part] = (
        [Note(note), Panels(panels), *(_fold(entry, layers) for entry, layers in shown)] if shown else []
    )
    return Section("structure", "What became of every layer", parts, {"structure": _lines(found)}, after="costs")


def _fold(entry: Structure, layers: list[StructuredLayer]) -> Collapsible:
    rows = []
    for number, layer in enumerate(layers, 1):
        said = "yes" if layer.structured else "no"
        rows.append(
            [
                Markup("{} {}").format(number, code(layer.path)),
                f"{layer.shape[0]} {_TIMES} {layer.shape[1]}",
                text.share(layer.before),
                text.share(layer.after),
                None if layer.channels is None else f"{layer.channels}",
                blocks_in_words(layer.blocks),
                text.share(layer.coverage),
                text.share(layer.holes),
                wrapped(f"{said}: {layer.note}") if layer.note else said,
            ]
        )
    head = ("layer", "shape", "before", "after", "channels", "blocks", "coverage", "holes", "structured")
    table = TablePanel(f"Layers of {entry.branch}", head, rows, left=("layer", "blocks", "structured"))
    kept = f"{text.share(entry.before)} kept before, {text.share(entry.after)} after"
    summary = f"{entry.branch}, level {entry.level}, seed {entry.seed}: {kept}"
    return Collapsible(summary, [table], len(layers) <= _FEW_LAYERS)


def blocks_in_words(blocks: tuple[tuple[int, int], ...]) -> str:
    """Count and sizes: `1 of 47 x 288`, `8 of 32 x 891-939`, with real signs; a dash where there are none."""
    if not blocks:
        return text.NOTHING
    sizes = [
        f"{min(along)}" if min(along) == max(along) else f"{min(along)}\N{EN DASH}{max(along)}"
        for along in zip(*blocks, strict=True)
    ]
    return f"{len(blocks)} of {sizes[0]} {_TIMES} {sizes[1]}"


def _panel(entry: Structure, layers: list[StructuredLayer]) -> LinesPanel:
    title, colour = f"{entry.branch}, level {entry.level}", theme.series(0)
    before = [(i, 100 * layer.before) for i, layer in enumerate(layers, 1) if layer.before is not None]
    after = [(i, 100 * layer.after, layer.structured) for i, layer in enumerate(layers, 1) if layer.after is not None]
    lines = [
        Line("before", before, theme.light("muted"), "o", theme.DASHED, hollow=True),
        Line("", [(i, share) for i, share, _ in after], colour, ""),
    ]
    for structured, marker, label in ((True, "s", "after"), (False, "x", "after, not structured")):
        points = [(i, share) for i, share, is_so in after if is_so == structured]
        lines.append(Line(label, points, colour, marker, "", size=6.5))
    return LinesPanel(
        f"structure_{slug(entry.branch)}",
        title,
        f"{title}: percentage of weights kept in each of {len(layers)} layers, before and after structuring",
        Axis("Layer, as numbered below", "whole", low=0.5, high=len(layers) + 0.5),
        Axis("Weights kept (%)", low=0, high=105),
        lines=lines,
    )


def _lines(found: list[Structure]) -> list[tuple[Any, ...]]:
    """A line for each network with a structured mask, and one for each of its layers."""
    key = ("branch", "level", "seed", "layer", "output_channels", "weights_per_channel")
    lines: list[tuple[Any, ...]] = [
        (*key, "before", "after", "channels_kept", "coverage", "holes", "structured", "blocks", "note")
    ]
    for entry in found:
        network = (entry.branch, entry.level, entry.seed)
        lines.append((*network, "", "", "", entry.before, entry.after, "", entry.coverage, "", "", "", ""))
        for layer in entry.layers:
            blocks = " ".join(f"{rows}x{columns}" for rows, columns in layer.blocks)
            shares = (layer.before, layer.after, layer.channels, layer.coverage, layer.holes)
            lines.append((*network, layer.path, *layer.shape, *shares, layer.structured, blocks, layer.note))
    return lines
