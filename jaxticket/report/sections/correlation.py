"""The correlation indicator against the learning rate: does training keep what the weights started as?"""

from typing import TYPE_CHECKING

from jaxticket.report import theme
from jaxticket.report.axes import legend_below, paint_spread, set_log_axis
from jaxticket.report.figures import Figure, draw, slug
from jaxticket.report.findings import Correlation, correlations
from jaxticket.report.kinds import KINDS
from jaxticket.report.sections.section import Section, render, spread_note
from jaxticket.report.study import Study, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NOTE = (
    "The indicator is the share of the largest weights before training that are among the largest after it, layer by "
    "layer. On the dotted line, the share p itself, the two have nothing to do with each other; above it the initial "
    "weights still show. Initial are those the network started from, other are those of another initialisation of the "
    "same seed; both are under the ticket's mask, dense is the whole network."
)


def correlation(study: Study) -> Section | None:
    """A panel for each kind of mask and each level (Ma et al. 2021, figure 6)."""
    found = [entry for entry in correlations(study) if entry.value is not None]
    if not found:
        return None
    options = study.config.get("config")
    p = number(options.get("correlation")) if isinstance(options, dict) else None
    dense = [entry for entry in found if entry.mask == "dense"]
    masks = sorted({(entry.mask, entry.level) for entry in found if entry.mask != "dense"}) or [("dense", 0)]
    figures = []
    for mask, level in masks:
        here = [entry for entry in found if (entry.mask, entry.level) == (mask, level)]
        title = "Dense network" if mask == "dense" else f"{KINDS.get(mask, mask)}, level {level}"
        figures.append(_panel(f"correlation_{slug(mask)}_{level}", title, dense if mask != "dense" else [], here, p))
    many = len({entry.seed for entry in found}) > 1
    html = render("panels.html.jinja", figures=figures, note=f"{_NOTE} {spread_note(many)}")
    return Section("correlation", "Correlation with the initial weights", html, tuple(figures))


def _panel(file: str, title: str, dense: list[Correlation], here: list[Correlation], p: float | None) -> Figure:
    lines = {
        "dense": (dense, theme.light("dense"), "", (0, (5, 2.5))),
        "initial": ([entry for entry in here if entry.start == "init"], theme.series(0), "o", "-"),
        "other": ([entry for entry in here if entry.start == "reinit"], theme.series(1), "s", "-"),
    }

    def paint(axes: "Axes") -> None:
        for label, (entries, colour, marker, style) in lines.items():
            by_lr: dict[float, list[float]] = {}
            for entry in entries:
                if entry.value is not None:
                    by_lr.setdefault(entry.lr, []).append(entry.value)
            # A single learning rate leaves no line to see.
            shape = marker or ("D" if len(by_lr) == 1 else "")
            paint_spread(axes, sorted(by_lr.items()), colour=colour, marker=shape, label=label, linestyle=style)
        if p is not None:
            axes.axhline(p, color=theme.light("ink"), linestyle=(0, (1, 2)), linewidth=1.3, label=f"p = {p:g}")
        lrs = sorted({entry.lr for entry in [*dense, *here]})
        set_log_axis(axes, "x", lrs[0], lrs[-1])
        axes.set_xticks(lrs)
        axes.set_ylim(0, 1.02)
        axes.set_title(title)
        axes.set_xlabel("Learning rate")
        axes.set_ylabel("Indicator")
        legend_below(axes, 4)

    against = "" if p is None else f", and the line at {p:g} of independent weights"
    label = f"{title}: correlation of weights before and after training against learning rate{against}"
    return draw(file, label, paint, small=True)
