"""Panels, given as data: lines with their spread, heatmaps, bars. Each is drawn when its figure is asked for."""

import dataclasses
import functools
import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal

from jaxticket.report import theme
from jaxticket.report.axis import Axis
from jaxticket.report.figures import Figure, draw

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

# Bands of more lines than this would hide each other: ranges are thin vertical lines then.
_MOST_BANDS = 3


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a panel.

    Attributes:
        label: in the legend; empty for none.
        points: (x, value) or (x, values), in their order. Of several values the line has the mean, a band reaches from
            the lowest to the highest, and each is a dot.
        colour: as `theme.series`, `theme.light` and `theme.ramp` give it.
        marker: of the means, as matplotlib names it; empty for none.
        style: of the line, as matplotlib takes it; empty for none.
        width: of the line, in points.
        size: of the markers, in points.
        hollow: whether markers are outlines.
    """

    label: str
    points: Sequence[tuple[float, float | Collection[float]]]
    colour: str
    marker: str = "o"
    style: Any = "-"
    width: float = 1.8
    size: float = 4.5
    hollow: bool = False

    @property
    def spread(self) -> list[tuple[float, tuple[float, ...]]]:
        """(x, the values there), without the points that have none."""
        found = [(x, tuple(y) if isinstance(y, Collection) else (y,)) for x, y in self.points]
        return [(x, values) for x, values in found if values]

    def paint(self, axes: "Axes", *, band: bool) -> None:
        """Draws it, its spread as a band or as vertical lines."""
        points = self.spread
        if not points:
            return
        xs = [x for x, _ in points]
        means = [math.fsum(values) / len(values) for _, values in points]
        look = {"color": self.colour, "linestyle": self.style, "linewidth": self.width, "label": self.label}
        face = "none" if self.hollow else self.colour
        edge = 1.6 if self.marker == "x" else 1.0
        axes.plot(
            xs,
            means,
            marker=self.marker,
            markersize=self.size,
            markerfacecolor=face,
            markeredgewidth=edge,
            zorder=3,
            **look,
        )
        dots = [(x, value) for x, values in points for value in values if len(values) > 1]
        if dots:
            lows, highs = [min(values) for _, values in points], [max(values) for _, values in points]
            if band:
                axes.fill_between(xs, lows, highs, color=self.colour, alpha=0.15, linewidth=0, zorder=2)
            else:
                axes.vlines(xs, lows, highs, color=self.colour, alpha=0.55, linewidth=1.0, zorder=2)
            axes.plot(*zip(*dots, strict=True), ".", color=self.colour, alpha=0.45, markersize=4, zorder=2.5)


@dataclasses.dataclass(frozen=True)
class Level:
    """A straight line across a panel, at `value` of the y axis or, with `across='x'`, of the x axis.

    `band` is a range in the same units, drawn faintly behind everything.
    """

    value: float
    label: str = ""
    colour: str = theme.light("dense")
    style: Any = theme.DASHED
    across: Literal["x", "y"] = "y"
    band: tuple[float, float] | None = None

    def paint(self, axes: "Axes") -> None:
        """Draws it."""
        line, span = (axes.axhline, axes.axhspan) if self.across == "y" else (axes.axvline, axes.axvspan)
        line(self.value, color=self.colour, linestyle=self.style, linewidth=1.4, label=self.label, zorder=1.5)
        if self.band:
            span(*self.band, color=self.colour, alpha=0.13, linewidth=0, zorder=1)


@dataclasses.dataclass(frozen=True)
class Mark:
    """A point that stands out, by a ring or, with another `marker`, filled; `text` is written next to it."""

    x: float
    y: float
    colour: str
    marker: str = "o"
    size: float = 11
    text: str = ""

    def paint(self, axes: "Axes") -> None:
        """Draws it."""
        ring = self.marker in ("o", "s")
        look: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": self.colour, "markeredgewidth": 1.6}
        if not ring:
            look = {"markerfacecolor": self.colour, "markeredgecolor": theme.light("panel"), "markeredgewidth": 1.0}
        axes.plot(self.x, self.y, self.marker, markersize=self.size, zorder=4, **look)
        if self.text:
            axes.annotate(
                self.text,
                (self.x, self.y),
                xytext=(7, 5),
                textcoords="offset points",
                color=self.colour,
                fontweight="bold",
                zorder=4,
            )


@dataclasses.dataclass(frozen=True)
class ColourBar:
    """A bar next to a panel that says which colour is what: one text for each colour, empty for none."""

    title: str
    colours: Sequence[str]
    labels: Sequence[str]

    def paint(self, axes: "Axes") -> None:
        """Draws it, the first colour on top."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import ListedColormap, Normalize

        count = len(self.colours)
        named = [i for i, label in enumerate(self.labels) if label]
        mappable = ScalarMappable(Normalize(0, count), ListedColormap(list(self.colours)))
        bar = _figure(axes).colorbar(mappable, ax=axes, ticks=[i + 0.5 for i in named], fraction=0.05, pad=0.03)
        bar.ax.set_yticklabels([self.labels[i] for i in named])
        bar.ax.invert_yaxis()
        bar.ax.set_title(self.title, fontsize=11, fontweight="normal", pad=6)
        bar.outline.set_visible(False)


@dataclasses.dataclass(frozen=True)
class Panel:
    """A figure of one panel: what all kinds have.

    Attributes:
        name: of its file, without `.svg`: letters, digits, `-` and `_`.
        title: above it.
        alt: what it shows, for those who cannot see it.
        x: the axis across.
        y: the axis up.
        small: whether it is one of many.
    """

    name: str
    title: str
    alt: str
    x: Axis = dataclasses.field(default_factory=Axis)
    y: Axis = dataclasses.field(default_factory=Axis)
    small: bool = dataclasses.field(default=True, kw_only=True)

    @functools.cached_property
    def figure(self) -> Figure:
        """The drawing, made when it is first asked for."""
        return draw(self.name, self.alt, self.paint, small=self.small)

    def paint(self, axes: "Axes") -> None:
        """Draws on the axes it is given."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class LinesPanel(Panel):
    """Lines, with levels across and points that stand out.

    Attributes:
        lines: in the order of the legend.
        levels: straight lines across, before them.
        marks: points that stand out.
        legend: columns of the legend below the panel; 0 puts it into the lower left corner, None leaves it out.
        bar: says what the colours of the lines are.
    """

    lines: Sequence[Line] = ()
    levels: Sequence[Level] = ()
    marks: Sequence[Mark] = ()
    legend: int | None = 3
    bar: ColourBar | None = None

    def paint(self, axes: "Axes") -> None:
        """Draws on the axes it is given."""
        wide = [line for line in self.lines if any(len(values) > 1 for _, values in line.spread)]
        for part in self.levels:
            part.paint(axes)
        for line in self.lines:
            line.paint(axes, band=len(wide) <= _MOST_BANDS)
        for part in (*self.marks, *([self.bar] if self.bar else [])):
            part.paint(axes)
        points = [point for line in self.lines for point in line.spread]
        self.x.apply(axes, "x", [x for x, _ in points])
        self.y.apply(axes, "y", [math.fsum(values) / len(values) for _, values in points])
        axes.set_title(self.title)
        handles, labels = axes.get_legend_handles_labels()
        if self.legend == 0:
            axes.legend(loc="lower left")
        elif self.legend and handles:  # below the panel it covers no line
            _figure(axes).legend(
                handles, labels, loc="outside lower center", ncols=self.legend, columnspacing=1.2, handletextpad=0.5
            )


@dataclasses.dataclass(frozen=True)
class HeatmapPanel(Panel):
    """A matrix of numbers as colours.

    Attributes:
        values: float [rows, columns], NaN where not known; or RGBA colours in [0, 1], float [rows, columns, 4].
        colours: a colour map of matplotlib.
        limits: the numbers at its ends; None is the lowest or the highest there is.
        extent: left, right, bottom and top of the matrix in the units of the axes; None numbers rows and columns.
        upwards: whether the first row is the lowest.
        stretch: whether cells fill the panel, instead of being squares.
        framed: whether it has a frame.
        lines: drawn over it.
        marks: likewise.
        bar: ticks of the bar of colours; None leaves it out, empty ticks are chosen.
    """

    values: "np.ndarray | Sequence[Sequence[Any]]" = ()
    colours: str = "viridis_r"
    limits: tuple[float | None, float | None] = (0, None)
    extent: tuple[float, float, float, float] | None = None
    upwards: bool = False
    stretch: bool = False
    framed: bool = False
    lines: Sequence[Line] = ()
    marks: Sequence[Mark] = ()
    bar: Sequence[float] | None = None

    def paint(self, axes: "Axes") -> None:
        """Draws on the axes it is given."""
        import numpy as np

        shown = axes.imshow(
            np.ma.masked_invalid(np.asarray(self.values, float)),
            cmap=self.colours,
            vmin=self.limits[0],
            vmax=self.limits[1],
            origin="lower" if self.upwards else "upper",
            interpolation="none",
            extent=self.extent,
            aspect="auto" if self.stretch else "equal",
        )
        for line in self.lines:
            line.paint(axes, band=False)
        for mark in self.marks:
            mark.paint(axes)
        axes.grid(visible=False)
        if self.framed:
            axes.spines[:].set_visible(True)
        self.x.apply(axes, "x", [])
        self.y.apply(axes, "y", [])
        axes.set_title(self.title)
        if self.bar is not None:
            bar = _figure(axes).colorbar(shown, ax=axes, fraction=0.05, pad=0.03, ticks=list(self.bar) or None)
            bar.outline.set_visible(False)


@dataclasses.dataclass(frozen=True)
class BarsPanel(Panel):
    """Horizontal bars of (name, length, text at its end), from top to bottom; `dense` has its own colour."""

    bars: Sequence[tuple[str, float, str]] = ()

    def paint(self, axes: "Axes") -> None:
        """Draws on the axes it is given."""
        names, lengths, texts = zip(*self.bars, strict=True)
        colours = [theme.light("dense") if name == "dense" else theme.series(0) for name in names]
        rows, longest = range(len(names)), max(lengths) or 1.0
        axes.barh(rows, lengths, color=colours, height=0.62)
        for row, length, text in zip(rows, lengths, texts, strict=True):
            axes.text(length + 0.015 * longest, row, text, va="center")
        axes.set_yticks(rows, names)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.7 * longest)  # room for the longest bar's text
        axes.set_xticks([])
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)
        axes.set_title(self.title)


def _figure(axes: "Axes") -> Any:
    figure = axes.get_figure()
    assert figure is not None
    return figure
