"""How the networks trained: loss and accuracy by epoch for a handful of levels."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from jaxticket.report import theme
from jaxticket.report.axes import set_log_axis, set_whole_axis
from jaxticket.report.figures import Figure, draw, slugs
from jaxticket.report.groups import Case, Group, case_key, dense_group, first_branches, group_rows, sparse_branches
from jaxticket.report.sections.section import Section, render
from jaxticket.report.structures import is_control
from jaxticket.report.study import Epoch, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LEVELS = 6
MOST_BRANCHES = 4


def curves(study: Study) -> Section | None:
    """Learning curves, the mean over seeds, of the dense networks and some levels of every branch."""
    groups = group_rows(study.rows)
    branches = sparse_branches(groups)
    # Without sparse networks the dense ones are shown by themselves.
    # Controls and parts of the classes go last, so that they are the ones left out.
    branches = dict(sorted(branches.items(), key=lambda item: is_control(item[0]) or "part" in item[1][0].case))
    branches = branches or {group.name: [] for group in groups if group.branch == "dense"}
    denses = {
        name: dense_group(groups, found[0].case) if found else next(group for group in groups if group.name == name)
        for name, found in branches.items()
    }
    by_network: dict[tuple[str, int, Case], list[Epoch]] = {}
    for epoch in study.epochs:
        by_network.setdefault((epoch.branch, epoch.level, case_key(epoch.case)), []).append(epoch)
    figures: list[Figure] = []
    shown, left_out = first_branches(branches, MOST_BRANCHES)
    for branch, short in zip(shown, slugs(list(shown)), strict=True):
        dense = denses[branch]
        levels = pick([*([dense] if dense else []), *shown[branch]], MOST_LEVELS)
        of = f" of {branch}" if len(shown) > 1 else ""
        for name, title in _metrics(study.epochs):
            lines = [(group, mean_curve(by_network.get(_network(group), []), name)) for group in levels]
            lines = [(group, line) for group, line in lines if line]
            if lines:
                figures.append(_panel(f"{name}_{short}", name, title + of, lines))
    if not figures:
        return None
    many = any(group.n > 1 for group in groups)
    html = render("panels.html.jinja", figures=figures, note=_note(many, left_out))
    return Section("training", "Training", html, tuple(figures))


def _network(group: Group) -> tuple[str, int, Case]:
    return group.branch, group.level, case_key(group.case)


def mean_curve(epochs: Iterable[Epoch], name: str) -> list[tuple[float, float]]:
    """(epoch, mean over the seeds that know the value), by epoch; epochs nobody knows are left out."""
    values: dict[float, list[float]] = {}
    for epoch in epochs:
        value = getattr(epoch, name)
        if value is not None:
            values.setdefault(epoch.epoch, []).append(value)
    return [(epoch, math.fsum(values[epoch]) / len(values[epoch])) for epoch in sorted(values)]


def pick(groups: list[Group], most: int) -> list[Group]:
    """At most `most` of them, evenly spaced, the first and the last included."""
    if len(groups) <= most:
        return groups
    return [groups[round(i * (len(groups) - 1) / (most - 1))] for i in range(most)]


def _metrics(epochs: Iterable[Epoch]) -> list[tuple[str, str]]:
    has_val = any(epoch.val_accuracy is not None for epoch in epochs)
    second = ("val_accuracy", "Validation accuracy") if has_val else ("train_accuracy", "Training accuracy")
    return [("train_loss", "Training loss"), second]


def _note(many: bool, left_out: list[str]) -> str:
    said = "A line is the mean over seeds." if many else "One seed (n = 1)."
    return said + (f" Not shown: {', '.join(left_out)}." if left_out else "")


def _panel(file: str, name: str, title: str, lines: list[tuple[Group, list[tuple[float, float]]]]) -> Figure:
    def paint(axes: "Axes") -> None:
        colours = theme.ramp(len(lines))
        for (_, line), colour in zip(lines, colours, strict=True):
            # Without a marker a single epoch would not be seen.
            axes.plot(*zip(*line, strict=True), color=colour, marker="o" if len(line) < 3 else "", linewidth=1.6)
        values = [value for _, line in lines for _, value in line]
        if name.endswith("loss") and min(values) > 0:
            set_log_axis(axes, "y", min(values), max(values))
        set_whole_axis(axes)
        axes.set_title(title)
        axes.set_xlabel("Epoch")
        if len(lines) > 1:
            _level_bar(axes, [group for group, _ in lines], colours)

    shares = ", ".join(f"{100 * group.remaining:.3g}" for group, _ in lines)
    return draw(file, f"{title} by epoch, one line each for {shares} percent of weights remaining", paint)


def _level_bar(axes: "Axes", groups: list[Group], colours: list[str]) -> None:
    """A bar beside the panel, one block of colour per level, labelled with the weights remaining."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    figure = axes.get_figure()
    assert figure is not None
    count = len(groups)
    norm = BoundaryNorm([i - 0.5 for i in range(count + 1)], count)
    mappable = ScalarMappable(norm, ListedColormap(colours))
    bar = figure.colorbar(mappable, ax=axes, ticks=range(count), fraction=0.05, pad=0.03)
    bar.ax.set_yticklabels([f"{100 * group.remaining:.2g}%" if group.remaining < 1 else "100%" for group in groups])
    bar.ax.invert_yaxis()
    bar.ax.set_title("kept", fontsize=11, fontweight="normal", pad=6)
    bar.outline.set_visible(False)
