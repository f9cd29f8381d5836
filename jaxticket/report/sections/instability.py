"""Instability: the error between two networks that differ by nothing but the order of their data."""

from typing import TYPE_CHECKING

from jaxticket.report import theme
from jaxticket.report.axes import legend_below, paint_spread
from jaxticket.report.figures import Figure, draw, slug
from jaxticket.report.findings import Instability, instabilities
from jaxticket.report.groups import Spread
from jaxticket.report.sections.section import Section, render, spread_note
from jaxticket.report.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLES = ("-", (0, (5, 2)), (0, (3, 1.5, 1, 1.5)), (0, (1, 1.3)))


def instability(study: Study) -> Section | None:
    """A panel for each branch and level, a line for each learning rate, and the barriers as a table."""
    found = instabilities(study)
    if not found:
        return None
    lrs = sorted({entry.lr for entry in found})
    figures, lines = [], []
    for branch, level in dict.fromkeys((entry.branch, entry.level) for entry in found):
        here = [entry for entry in found if (entry.branch, entry.level) == (branch, level)]
        title = branch if branch == "dense" else f"{branch}, level {level}"
        if any(entry.errors for entry in here):
            figures.append(_panel(f"instability_{slug(branch)}_{level}", title, here, lrs))
        barriers = [Spread.of(entry.barrier for entry in here if entry.lr == lr) for lr in lrs]
        lines.append((branch, level, barriers))
    many = len({entry.seed for entry in found}) > 1
    html = render("instability.html.jinja", figures=figures, lines=lines, lrs=lrs, spread_note=spread_note(many))
    return Section("instability", "Instability", html, tuple(figures))


def _panel(file: str, title: str, here: list[Instability], lrs: list[float]) -> Figure:
    def paint(axes: "Axes") -> None:
        for i, (lr, colour) in enumerate(zip(lrs, theme.ramp(len(lrs) + 1), strict=False)):
            errors: dict[float, list[float]] = {}
            for entry in here:
                for at, error in entry.errors if entry.lr == lr else ():
                    errors.setdefault(at, []).append(error)
            marker, style = theme.marker(i), _STYLES[i % len(_STYLES)]
            paint_spread(
                axes, sorted(errors.items()), colour=colour, marker=marker, label=f"lr {lr:g}", linestyle=style
            )
        axes.set_title(title)
        axes.set_xlabel("Position between the two networks")
        axes.set_ylabel("Test error")
        legend_below(axes)

    label = f"{title}: test error on the straight way between two networks that saw the data in different orders"
    return draw(file, label, paint, small=True)
