"""What a structured ticket costs to run: multiply-accumulates, parameters and, where it was measured, time."""

from typing import TYPE_CHECKING

from jaxticket.report import text, theme
from jaxticket.report.figures import Figure, draw
from jaxticket.report.groups import Group, dense_group, group_rows
from jaxticket.report.sections.section import Section, render
from jaxticket.report.structures import shown_levels
from jaxticket.report.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Bar = tuple[str, float, str]


def costs(study: Study) -> Section | None:
    """Bars and a table of the dense network and one level of every branch; None where nothing was counted."""
    groups = group_rows(study.rows)
    levels = shown_levels(study, groups)
    shown = [group for group in groups if levels.get(group.branch) == group.level and group.spread("macs").n]
    if not shown:
        return None
    dense = dense_group(groups)
    whole = shown[0].spread("macs_dense").mean or (dense.spread("macs").mean if dense else None)
    figures = [_macs(whole, shown)]
    timed = [group for group in [*([dense] if dense else []), *shown] if group.spread("seconds_per_batch").n]
    if timed:
        figures.append(_times(timed))
    lines = [
        (group, *(group.spread(name).mean for name in ("macs", "parameters_shrunk", "seconds_per_batch")))
        for group in shown
    ]
    parameters = study.part("model").get("parameters")
    html = render(
        "costs.html.jinja",
        figures=figures,
        lines=lines,
        whole=whole,
        parameters=parameters if isinstance(parameters, int) else None,
        dense_time=dense.spread("seconds_per_batch").mean if dense else None,
        timed=bool(timed),
    )
    return Section("costs", "What it costs to run", html, tuple(figures))


def _macs(whole: float | None, shown: list[Group]) -> Figure:
    bars: list[Bar] = [] if whole is None else [("dense", whole, text.amount(whole))]
    for group in shown:
        macs = group.spread("macs").mean or 0.0
        of = f" ({text.share(macs / whole)})" if whole else ""
        bars.append((group.branch, macs, text.amount(macs) + of))
    return _bars("macs", "Multiply-accumulates", bars)


def _times(timed: list[Group]) -> Figure:
    bars = [(group.branch, seconds, f"{1000 * seconds:.3g} ms") for group in timed if (seconds := _seconds(group))]
    return _bars("times", "Time of a batch", bars)


def _seconds(group: Group) -> float:
    return group.spread("seconds_per_batch").mean or 0.0


def _bars(file: str, title: str, bars: list[Bar]) -> Figure:
    def paint(axes: "Axes") -> None:
        names, lengths, labels = zip(*bars, strict=True)
        colours = [theme.light("dense") if name == "dense" else theme.series(0) for name in names]
        places = range(len(bars))
        axes.barh(places, lengths, color=colours, height=0.62)
        longest = max(lengths) or 1.0
        for place, length, label in zip(places, lengths, labels, strict=True):
            axes.text(length + 0.015 * longest, place, label, va="center")
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.7 * longest)  # Room for the longest bar's label.
        axes.set_xticks([])
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)
        axes.set_title(title)

    said = ", ".join(f"{name} {label}" for name, _, label in bars)
    return draw(file, f"{title}: {said}", paint, small=True)
