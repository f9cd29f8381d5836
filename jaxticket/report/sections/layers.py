"""Where the weights go: the density of every layer, level by level."""

import re
from typing import TYPE_CHECKING

from jaxticket.report import theme
from jaxticket.report.axes import set_log_axis, set_whole_axis
from jaxticket.report.figures import Figure, draw, slugs
from jaxticket.report.groups import Group, dense_group, first_branches, group_rows, sparse_branches
from jaxticket.report.sections.section import Section, render
from jaxticket.report.structures import controlled
from jaxticket.report.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NAMED = 8
MOST_BRANCHES = 4
MOST_BY_CASE = 12


def layers(study: Study) -> Section | None:
    """A line per layer over the levels of each branch, and the same numbers as a table."""
    groups = [group for group in group_rows(study.rows) if "part" not in group.case]  # They share their masks.
    shown: dict[str, list[Group]] = {}
    for branch, found in sparse_branches(groups).items():
        if controlled(found[0].branch, study):
            continue  # It has the masks of what it is a control of.
        found = [group for group in found if group.layers]
        if not found:
            continue
        dense = dense_group(groups, found[0].case)
        first = [dense] if dense and dense.layers and dense.level < found[0].level else []
        shown[branch] = first + found
    if not shown:
        return None
    by_case = any(group.case for group in groups)
    if by_case:
        shown = _different(shown)
    most = MOST_BY_CASE if by_case else MOST_BRANCHES
    shown, left_out = first_branches(shown, most)
    figures, tables = [], []
    for (branch, found), short in zip(shown.items(), slugs(list(shown)), strict=True):
        paths = sorted({path for group in found for path in group.layers}, key=natural)
        if len(found) > 1:
            title = "Density of each layer" + (f", {branch}" if len(shown) > 1 else "")
            figures.append(_panel(f"layers_{short}", title, paths, found))
        tables.append((branch, found, [(path, [group.layers.get(path) for group in found]) for path in paths]))
    html = render(
        "layers.html.jinja",
        figures=figures,
        tables=tables,
        left_out=left_out,
        unnamed=bool(figures) and any(len(lines) > MOST_NAMED for _, _, lines in tables),
        by_case=by_case,
        many=any(group.n > 1 for found in shown.values() for group in found),
    )
    return Section("layers", "Where the weights are", html, tuple(figures))


def _different(shown: dict[str, list[Group]]) -> dict[str, list[Group]]:
    """Without the branches whose masks have the densities of an earlier one's of the same case: they are its masks."""
    kept: dict[str, list[Group]] = {}
    for branch, found in shown.items():
        densities = [
            {group.level: group.layers for group in earlier}
            for earlier in kept.values()
            if earlier[0].case == found[0].case
        ]
        if not any(all(of.get(group.level) == group.layers for group in found) for of in densities):
            kept[branch] = found
    return kept


def natural(path: str) -> list[tuple[int, str]]:
    """Sorts `block2` before `block10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]


def _panel(file: str, title: str, paths: list[str], found: list[Group]) -> Figure:
    def paint(axes: "Axes") -> None:
        named = len(paths) <= MOST_NAMED
        colours = [theme.series(i) for i in range(len(paths))] if named else theme.ramp(len(paths))
        positive: list[float] = []
        for i, path in enumerate(paths):
            points = [(group.level, 100 * share) for group in found if (share := group.layers.get(path)) is not None]
            # An emptied layer has no place on a logarithmic axis; its line ends.
            points = [point for point in points if point[1] > 0]
            if not points:
                continue
            positive += [share for _, share in points]
            marker = theme.marker(i) if named else ""
            axes.plot(
                *zip(*points, strict=True), color=colours[i], marker=marker, markersize=4, linewidth=1.5, label=path
            )
        total = [(group.level, 100 * group.remaining) for group in found if group.remaining > 0]
        axes.plot(
            *zip(*total, strict=True),
            color=theme.light("dense"),
            linestyle=(0, (5, 2.5)),
            linewidth=1.4,
            label="all of them",
        )
        if positive:
            set_log_axis(axes, "y", min(positive), max(positive))
        set_whole_axis(axes)
        axes.set_title(title)
        axes.set_xlabel("Level")
        axes.set_ylabel("Weights remaining in the layer (%)")
        if named:
            axes.legend(loc="lower left")
        else:
            _depth_bar(axes, colours)

    label = f"{title}: percentage of its weights remaining by level, one line for each of {len(paths)} layers"
    return draw(file, label, paint)


def _depth_bar(axes: "Axes", colours: list[str]) -> None:
    """A bar beside the panel that says which lines are which layers, where they are too many to be named."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    figure = axes.get_figure()
    assert figure is not None
    steps = list(dict.fromkeys(colours))
    mappable = ScalarMappable(Normalize(0, len(steps)), ListedColormap(steps))
    bar = figure.colorbar(mappable, ax=axes, ticks=[0.5, len(steps) - 0.5], fraction=0.05, pad=0.03)
    bar.ax.set_yticklabels(["first", "last"])
    bar.ax.invert_yaxis()
    bar.ax.set_title("layer", fontsize=11, fontweight="normal", pad=6)
    bar.outline.set_visible(False)
