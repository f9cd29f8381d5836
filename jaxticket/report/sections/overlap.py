"""What masks have in common: those of two seeds, and those of two ways of finding them."""

from typing import TYPE_CHECKING

from jaxticket.report import theme
from jaxticket.report.axes import legend_below, paint_spread, set_whole_axis
from jaxticket.report.figures import Figure, draw, slug
from jaxticket.report.findings import MaskOverlap, overlaps
from jaxticket.report.kinds import KINDS
from jaxticket.report.sections.section import Section, render
from jaxticket.report.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NOTE = (
    "Share of the weights kept in either of two masks that are kept in both (Jaccard); dashed, what random masks with "
    "the same densities in every layer would have. Lines are means over pairs, bands and dots the pairs."
)


def overlap(study: Study) -> Section | None:
    """A panel for each pair of masks to compare, a line for each learning rate, over the levels."""
    found = [entry for entry in overlaps(study) if entry.jaccard is not None]
    figures = []
    for between, kind in dict.fromkeys((entry.between, entry.kind) for entry in found):
        here = [entry for entry in found if (entry.between, entry.kind) == (between, kind)]
        words = KINDS.get(kind, " and ".join(KINDS.get(part, part) for part in kind.split("-")))
        title = f"{words}, between seeds" if between == "seeds" else f"Between {words}"
        figures.append(_panel(f"overlap_{slug(f'{between}-{kind}')}", title, here))
    if not figures:
        return None
    html = render("panels.html.jinja", figures=figures, note=_NOTE)
    return Section("overlap", "Overlap of masks", html, tuple(figures))


def _panel(file: str, title: str, here: list[MaskOverlap]) -> Figure:
    lrs = sorted({entry.lr for entry in here})

    def by_level(name: str, lr: float) -> list[tuple[float, list[float]]]:
        values: dict[float, list[float]] = {}
        for entry in here:
            value = getattr(entry, name)
            if entry.lr == lr and value is not None:
                values.setdefault(entry.level, []).append(value)
        return sorted(values.items())

    def paint(axes: "Axes") -> None:
        for i, (lr, colour) in enumerate(zip(lrs, theme.ramp(len(lrs) + 1), strict=False)):
            marker = theme.marker(i)
            paint_spread(axes, by_level("jaccard", lr), colour=colour, marker=marker, label=f"lr {lr:g}")
            chance = [(level, sum(values) / len(values)) for level, values in by_level("chance", lr)]
            if chance:
                axes.plot(*zip(*chance, strict=True), color=colour, linestyle=(0, (4, 2.5)), linewidth=1.2)
        axes.plot([], [], color=theme.light("muted"), linestyle=(0, (4, 2.5)), linewidth=1.2, label="chance")
        set_whole_axis(axes)
        axes.set_ylim(0, 1.02)
        axes.set_title(title)
        axes.set_xlabel("Level")
        axes.set_ylabel("Jaccard overlap")
        legend_below(axes)

    label = f"{title}: Jaccard overlap of masks by level, one line for each learning rate, and that of random masks"
    return draw(file, label, paint, small=True)
