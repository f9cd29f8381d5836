"""What became of every layer: density before and after, blocks, what was covered and what was filled."""

from typing import TYPE_CHECKING

from jaxticket.report import text, theme
from jaxticket.report.axes import legend_below, set_whole_axis
from jaxticket.report.figures import Figure, draw, slug
from jaxticket.report.groups import group_rows
from jaxticket.report.sections.layers import natural
from jaxticket.report.sections.section import Section, render
from jaxticket.report.structures import Layer, Structure, is_slim, shown_levels, structures
from jaxticket.report.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Longer tables are folded.
_FEW_LAYERS = 8


def structure(study: Study) -> Section | None:
    """A panel and a table for one network of every method: that of the level shown, and of the first seed."""
    levels = shown_levels(study, group_rows(study.rows))
    found = structures(study)
    shown = []
    for branch in dict.fromkeys(entry.branch for entry in found if not is_slim(entry.branch)):
        own = [entry for entry in found if entry.branch == branch and entry.layers]
        here = [entry for entry in own if entry.level == levels.get(branch)] or own[-1:]
        if here:
            shown.append((here[0], sorted(here[0].layers, key=lambda layer: natural(layer.path))))
    if not shown:
        return None
    figures = [_panel(entry, layers) for entry, layers in shown if len(layers) > 1]
    html = render(
        "structure.html.jinja",
        shown=shown,
        figures=figures,
        few=_FEW_LAYERS,
        blocks_in_words=blocks_in_words,
        seeds=len({entry.seed for entry in found}),
    )
    return Section("structure", "What became of every layer", html, tuple(figures))


def blocks_in_words(layer: Layer) -> str:
    """Count and sizes: `1 of 47 x 288`, `8 of 32 x 891-939`, with real signs; a dash where there are none."""
    if not layer.blocks:
        return text.NOTHING
    rows, columns = zip(*layer.blocks, strict=True)
    return f"{len(layer.blocks)} of {_range(rows)} \N{MULTIPLICATION SIGN} {_range(columns)}"


def _range(sizes: tuple[int, ...]) -> str:
    low, high = min(sizes), max(sizes)
    return f"{low}" if low == high else f"{low}\N{EN DASH}{high}"


def _panel(entry: Structure, layers: list[Layer]) -> Figure:
    title = f"{entry.branch}, level {entry.level}"
    before = [(i, 100 * layer.before) for i, layer in enumerate(layers, 1) if layer.before is not None]
    after = [(i, 100 * layer.after, layer.structured) for i, layer in enumerate(layers, 1) if layer.after is not None]

    def paint(axes: "Axes") -> None:
        colour, muted = theme.series(0), theme.light("muted")
        if before:
            axes.plot(
                *zip(*before, strict=True),
                color=muted,
                linestyle=(0, (4, 2.5)),
                marker="o",
                markerfacecolor="none",
                label="before",
            )
        if after:
            axes.plot([i for i, _, _ in after], [share for _, share, _ in after], color=colour)
        for structured, marker, label in ((True, "s", "after"), (False, "x", "after, not structured")):
            points = [(i, share) for i, share, is_so in after if is_so == structured]
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    color=colour,
                    marker=marker,
                    markersize=6.5,
                    markeredgewidth=1.6,
                    linestyle="",
                    label=label,
                )
        set_whole_axis(axes)
        axes.set_xlim(0.5, len(layers) + 0.5)
        axes.set_ylim(0, 105)
        axes.set_title(title)
        axes.set_xlabel("Layer, as numbered below")
        axes.set_ylabel("Weights kept (%)")
        legend_below(axes)

    label = f"{title}: percentage of weights kept in each of {len(layers)} layers, before and after structuring"
    return draw(f"structure_{slug(entry.branch)}", label, paint, small=True)
