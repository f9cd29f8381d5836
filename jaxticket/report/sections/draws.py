"""What drawing early is worth: accuracy against the epoch of the draw, and the operations of all training."""

from typing import TYPE_CHECKING

from jaxticket.report import text, theme
from jaxticket.report.axes import legend_below, paint_spread, set_whole_axis
from jaxticket.report.early_birds import is_early_bird
from jaxticket.report.figures import Figure, draw
from jaxticket.report.groups import Group, dense_group, group_rows
from jaxticket.report.sections.section import Section, render, spread_note
from jaxticket.report.study import Row, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Tickets that kept the weights they were drawn from differ in the moment of the draw alone.
_INHERITED = ("eb_inherit", "late")
_MOST = 8


def draws(study: Study) -> Section | None:
    """A panel of accuracies and a table of costs; None for other studies."""
    if not is_early_bird(study) or not any(row.training_flops_share is not None for row in study.rows):
        return None
    groups = group_rows(study.rows)
    dense = dense_group(groups)
    sparse = [group for group in groups if group.branch != "dense"]
    points = _points(study.rows)
    figures = [_panel(points, dense)] if any(len(found) > 1 for found in points.values()) else []
    html = render(
        "draws.html.jinja",
        figures=figures,
        lines=[*([dense] if dense else []), *sorted(sparse, key=lambda group: group.level)],
        note=spread_note(any(group.n > 1 for group in groups)),
    )
    return Section("draws", "What drawing early costs and gives", html, tuple(figures))


def _points(rows: tuple[Row, ...]) -> dict[float, list[tuple[float, list[float]]]]:
    """Ratio -> (epoch of the draw, test accuracies there), by epoch."""
    found: dict[float, dict[float, list[float]]] = {}
    for row in rows:
        inherited = row.branch in _INHERITED or row.branch.startswith("draw_")
        if inherited and row.ratio is not None and row.draw_epoch is not None and row.test_accuracy is not None:
            found.setdefault(row.ratio, {}).setdefault(row.draw_epoch, []).append(row.test_accuracy)
    return {ratio: sorted(by_epoch.items()) for ratio, by_epoch in sorted(found.items())}


def _panel(points: dict[float, list[tuple[float, list[float]]]], dense: Group | None) -> Figure:
    shown = dict(list(points.items())[:_MOST])
    reference = dense.spread("test_accuracy").mean if dense else None

    def paint(axes: "Axes") -> None:
        for i, (ratio, found) in enumerate(shown.items()):
            colour = theme.series(i)
            paint_spread(
                axes,
                [(epoch, [100 * value for value in values]) for epoch, values in found],
                colour=colour,
                marker=theme.marker(i),
                label=f"{text.share(ratio)} pruned",
            )
            best = max(found, key=lambda point: sum(point[1]) / len(point[1]))
            mean = 100 * sum(best[1]) / len(best[1])
            axes.plot([best[0]], [mean], marker="*", markersize=13, color=colour, linestyle="", zorder=4)
        if reference is not None:
            axes.axhline(
                100 * reference, color=theme.light("dense"), linestyle=(0, (5, 2.5)), linewidth=1.4, label="dense"
            )
        set_whole_axis(axes)
        axes.set_title("Trained on from the draw")
        axes.set_xlabel("Epoch of the draw")
        axes.set_ylabel("Test accuracy (%)")
        legend_below(axes)

    label = "Test accuracy of tickets with the weights they were drawn from, against the epoch of the draw"
    return draw("draw_epochs", label, paint)
