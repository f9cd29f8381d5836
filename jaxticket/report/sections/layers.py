"""Where the weights are: the density of every layer, level by level."""

import re

from jaxticket.report import text, theme
from jaxticket.report.axis import Axis
from jaxticket.report.controls import controlled
from jaxticket.report.figures import slugs
from jaxticket.report.groups import Group, comparable_groups, dense_group, first_branches, group_rows, sparse_branches
from jaxticket.report.panels import ColourBar, Line, LinesPanel, Panel
from jaxticket.report.parts import Collapsible, Note, Panels, TablePanel, code
from jaxticket.report.section import Part, Section
from jaxticket.report.study import Study

MOST_NAMED = 8
MOST_BRANCHES = 4
MOST_BY_CASE = 12


def layers_section(study: Study) -> Section | None:
    """A line per layer over the levels of each branch, and the same numbers as a table."""
    groups = comparable_groups(group_rows(study.rows))
    shown: dict[str, list[Group]] = {}
    for branch, found in sparse_branches(groups).items():
        if controlled(found[0].branch, study):
            continue  # It has the masks of what it is a control of.
        if found := [group for group in found if group.layers]:
            dense = dense_group(groups, found[0].case)
            first = [dense] if dense and dense.layers and dense.level < found[0].level else []
            shown[branch] = first + found
    if not shown:
        return None
    by_case = any(group.case for group in groups)
    if by_case:
        shown = _different(shown)
    shown, left_out = first_branches(shown, MOST_BY_CASE if by_case else MOST_BRANCHES)
    panels: list[Panel] = []
    tables: list[tuple[str, TablePanel]] = []
    for (branch, found), short in zip(shown.items(), slugs(list(shown)), strict=True):
        paths = sorted({path for group in found for path in group.layers}, key=natural)
        if len(found) > 1:
            title = "Density of each layer" + (f", {branch}" if len(shown) > 1 else "")
            panels.append(_panel(f"layers_{short}", title, paths, found))
        rows = [[code(path), *(text.share(group.layers.get(path)) for group in found)] for path in paths]
        head = ("layer", *(f"level {group.level}" for group in found))
        tables.append((branch, TablePanel(f"Weights remaining in every layer of {branch}", head, rows)))
    over = ", mean over seeds" if any(group.n > 1 for found in shown.values() for group in found) else ""
    said = [f"Share of its own weights that each prunable layer keeps{over}; the dashed line is all of them together."]
    if panels and any(len(table.rows) > MOST_NAMED for _, table in tables):
        said.append("Colours follow the order of the table below.")
    if left_out:
        said.append(f"Not shown: {', '.join(left_out)}.")
    if by_case:
        said.append("Branches that share their masks are shown once.")
    parts: list[Part] = [Note(" ".join(said)), Panels(panels)]
    parts += [Collapsible(f"Every layer of {branch}, in numbers", [table], not panels) for branch, table in tables]
    return Section("layers", "Where the weights are", parts)


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


def _panel(file: str, title: str, paths: list[str], found: list[Group]) -> LinesPanel:
    named = len(paths) <= MOST_NAMED
    colours = [theme.series(i) for i in range(len(paths))] if named else theme.ramp(len(paths))
    steps = list(dict.fromkeys(colours))
    lines = []
    for i, (path, colour) in enumerate(zip(paths, colours, strict=True)):
        # An emptied layer has no position on a logarithmic axis; its line ends.
        points = [(group.level, 100 * share) for group in found if (share := group.layers.get(path))]
        marker = theme.marker(i) if named else ""
        lines.append(Line(path if named else "", points, colour, marker, width=1.5, size=4))
    total = [(group.level, 100 * group.remaining) for group in found if group.remaining > 0]
    lines.append(Line("all of them", total, theme.light("dense"), "", theme.DASHED, width=1.4))
    return LinesPanel(
        file,
        title,
        f"{title}: percentage of its weights remaining by level, one line for each of {len(paths)} layers",
        Axis("Level", "whole"),
        Axis("Weights remaining in the layer (%)", "log"),
        lines=lines,
        legend=0 if named else None,
        bar=None if named else ColourBar("layer", steps, ["first", *[""] * (len(steps) - 2), "last"]),
        small=False,
    )
