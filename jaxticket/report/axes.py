"""What goes into a panel: axes with plain numbers, lines with their spread, legends."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def log_ticks(low: float, high: float) -> list[float]:
    """About two to eight round ticks within [low, high], as even on a logarithmic axis as that allows."""
    inside: list[float] = []
    for bases in ((1, 2, 5), (1, 1.5, 2, 3, 4, 6, 8), range(1, 10), (1,)):
        steps = [base * 10.0**power for power in range(-12, 12) for base in bases]
        inside = [step for step in steps if low * 0.999 <= step <= high * 1.001]
        if 2 < len(inside) < 9:
            return inside
    return inside if len(inside) > 1 else sorted({low, high})


def set_log_axis(axes: "Axes", which: str, low: float, high: float) -> None:
    """Makes an axis logarithmic with plain numbers at round ticks; the limits are left as they are."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    getattr(axes, f"set_{which}scale")("log")
    axis = getattr(axes, f"{which}axis")
    axis.set_minor_locator(NullLocator())
    axis.set_major_locator(FixedLocator(log_ticks(low, high)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))


def set_remaining_axis(axes: "Axes", shares: Sequence[float]) -> None:
    """Makes the x axis that of the percentages of prunable weights remaining that there are, `shares`."""
    set_log_axis(axes, "x", min(shares), max(shares))
    # The fewer weights, the further right, as in Frankle and Carbin (2019).
    axes.set_xlim(max(shares) * 1.15, min(shares) / 1.2)
    axes.set_xlabel("Prunable weights remaining (%)")


def paint_spread(
    axes: "Axes",
    points: Sequence[tuple[float, Sequence[float]]],
    *,
    colour: str,
    marker: str = "o",
    label: str = "",
    linestyle: Any = "-",
) -> None:
    """Draws a line of means, a band from the lowest to the highest value, and a dot for every value.

    Args:
        axes: where.
        points: (x, the values there), by x; with a single value at each there is nothing but the line.
        colour: of all three.
        marker: of the means.
        label: for the legend.
        linestyle: of the line.
    """
    points = [point for point in points if point[1]]
    if not points:
        return
    xs = [x for x, _ in points]
    means = [math.fsum(values) / len(values) for _, values in points]
    axes.plot(xs, means, color=colour, linestyle=linestyle, marker=marker, label=label, zorder=3)
    dots = [(x, value) for x, values in points for value in values if len(values) > 1]
    if dots:
        lows, highs = [min(values) for _, values in points], [max(values) for _, values in points]
        axes.fill_between(xs, lows, highs, color=colour, alpha=0.15, linewidth=0, zorder=2)
        axes.plot(*zip(*dots, strict=True), ".", color=colour, alpha=0.45, markersize=4, zorder=2.5)


def legend_below(axes: "Axes", columns: int = 3) -> None:
    """Puts the legend under the panel, where it covers no line."""
    figure = axes.get_figure()
    assert figure is not None
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, columnspacing=1.2, handletextpad=0.5)


def set_whole_axis(axes: "Axes") -> None:
    """Puts the x axis's ticks on whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True))
