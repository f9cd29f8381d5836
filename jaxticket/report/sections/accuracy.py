"""Accuracy against the share of weights that remain: the figure of the lottery-ticket literature."""

from typing import TYPE_CHECKING

from jaxticket.report import text, theme
from jaxticket.report.axes import legend_below, paint_spread, set_remaining_axis
from jaxticket.report.figures import Figure, draw
from jaxticket.report.groups import (
    MARGIN,
    Group,
    dense_group,
    group_rows,
    sparse_branches,
    sparsest_match,
)
from jaxticket.report.sections.section import Section, render
from jaxticket.report.structures import is_control, is_slim, is_structured, winners
from jaxticket.report.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# With more branches than this the legend would cover their lines.
_MOST_INSIDE = 3
_METRICS = (("test_accuracy", "Test accuracy"), ("val_accuracy", "Validation accuracy"))


def accuracy(study: Study) -> Section | None:
    """Test and validation accuracy over the weights remaining, whole and close to the dense networks."""
    groups = [group for group in group_rows(study.rows) if "part" not in group.case]  # Fewer classes are easier.
    if any(group.case for group in groups):
        return None  # Too many lines for one panel: `rounds` has a panel for each case.
    branches = {
        branch: [group for group in found if group.remaining > 0] for branch, found in sparse_branches(groups).items()
    }
    branches = {branch: found for branch, found in branches.items() if found}
    if is_structured(study):  # `controls` has the others.
        branches = {branch: found for branch, found in branches.items() if not (is_control(branch) or is_slim(branch))}
    won = {branch: winner.level if winner else None for branch, winner in winners(study).items()}
    dense = dense_group(groups)
    whole, near = [], []
    for name, title in _METRICS:
        shown = [group for found in branches.values() for group in found if group.spread(name).n]
        known_dense = dense is not None and dense.spread(name).n > 0
        if not shown or len(shown) + known_dense < 2:
            continue  # A single point needs no figure.
        whole.append(_panel(f"{name}", name, title, branches, dense, None, won))
        limits = _near_limits(name, shown, dense)
        if limits:
            near.append(_panel(f"{name}_near", name, f"{title}, near dense", branches, dense, limits, won))
    if not whole:
        return None
    many = any(group.n > 1 for group in groups)
    html = render("accuracy.html.jinja", whole=whole, near=near, many=many, dense=dense, margin=MARGIN, won=won)
    return Section("accuracy", "Accuracy against weights remaining", html, (*whole, *near))


def _near_limits(name: str, shown: list[Group], dense: Group | None) -> tuple[float, float] | None:
    """A window around the dense accuracy, None when everything is close to it anyway."""
    reference = dense.spread(name) if dense else None
    if reference is None or reference.mean is None:
        return None
    depth = max(0.04, 2 * (max(reference.values) - min(reference.values)))
    bottom = reference.mean - depth
    values = [value for group in shown for value in group.spread(name).values]
    if min(values) >= bottom - depth:
        return None
    top = max([*reference.values, *values])
    return bottom, top + 0.08 * (top - bottom)


def _panel(
    file: str,
    name: str,
    title: str,
    branches: dict[str, list[Group]],
    dense: Group | None,
    limits: tuple[float, float] | None,
    won: dict[str, int | None],
) -> Figure:
    def paint(axes: "Axes") -> None:
        everything = [group for found in branches.values() for group in found]
        shares = [100 * group.remaining for group in everything if group.spread(name).n]
        if dense is not None and dense.spread(name).n:
            paint_dense(axes, name, dense, with_margin=limits is not None)
            shares.append(100 * dense.remaining)
        for i, (branch, found) in enumerate(branches.items()):
            _paint_branch(axes, name, branch, found, i)
        if name == "test_accuracy" and dense is not None:
            best = _winning(branches, won) if won else _matching(branches, dense)
            _paint_best(axes, best, "*" if won else "o")
        set_remaining_axis(axes, shares)
        if limits is not None:
            axes.set_ylim(*limits)
        axes.set_title(title)
        if len(branches) > _MOST_INSIDE:
            legend_below(axes)
        else:
            axes.legend(loc="lower left")

    names = ", ".join([*(["dense"] if dense else []), *branches])
    return draw(file, f"{title} against the percentage of prunable weights remaining, for {names}", paint)


def paint_dense(axes: "Axes", name: str, dense: Group, *, with_margin: bool) -> None:
    """Draws the dense networks as a level line: their mean, their spread and the margin below."""
    spread, colour = dense.spread(name), theme.light("dense")
    assert spread.mean is not None
    axes.axhline(spread.mean, color=colour, linestyle=(0, (5, 2.5)), linewidth=1.4, label="dense", zorder=1.5)
    if spread.n > 1:
        axes.axhspan(min(spread.values), max(spread.values), color=colour, alpha=0.13, linewidth=0, zorder=1)
    if with_margin and name == "test_accuracy":
        label = f"dense \N{MINUS SIGN} {MARGIN}"
        axes.axhline(spread.mean - MARGIN, color=colour, linestyle=(0, (1, 2)), linewidth=1.2, label=label, zorder=1.5)


def _paint_branch(axes: "Axes", name: str, branch: str, found: list[Group], index: int) -> None:
    points = [(100 * group.remaining, group.spread(name).values) for group in found]
    marker = theme.marker(index)
    style = theme.DASHES if is_control(found[0].branch) else "-"
    points = sorted(points, reverse=True)
    paint_spread(axes, points, colour=theme.series(index), marker=marker, label=branch, linestyle=style)


def _matching(branches: dict[str, list[Group]], dense: Group) -> list[tuple[int, Group]]:
    """The sparsest level of every branch but controls that matches the dense networks, with the branch's place."""
    found = [
        (i, sparsest_match(groups, dense))
        for i, groups in enumerate(branches.values())
        if not is_control(groups[0].branch)
    ]
    return [(i, group) for i, group in found if group is not None]


def _winning(branches: dict[str, list[Group]], won: dict[str, int | None]) -> list[tuple[int, Group]]:
    """The level of every branch that the study itself found to win, with the branch's place."""
    return [
        (i, group)
        for i, (branch, groups) in enumerate(branches.items())
        for group in groups
        if group.level == won.get(branch)
    ]


def _paint_best(axes: "Axes", found: list[tuple[int, Group]], marker: str) -> None:
    """Marks these levels, and labels the sparsest of all."""
    best = [
        (100 * group.remaining, mean, i)
        for i, group in found
        if (mean := group.spread("test_accuracy").mean) is not None
    ]
    filled = marker != "o"
    for x, y, i in best:
        axes.plot(
            x,
            y,
            marker,
            markersize=17 if filled else 11,
            markerfacecolor=theme.series(i) if filled else "none",
            markeredgecolor=theme.light("panel") if filled else theme.series(i),
            markeredgewidth=1.0 if filled else 1.6,
            zorder=4,
        )
    if best:
        x, y, i = min(best)
        axes.annotate(
            text.remaining(x / 100),
            (x, y),
            xytext=(7, 5),
            textcoords="offset points",
            color=theme.series(i),
            fontweight="bold",
            zorder=4,
        )
