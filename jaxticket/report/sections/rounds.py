"""Accuracy against the share of weights that remain, for each case by itself."""

from typing import TYPE_CHECKING

from jaxticket.report import kinds
from jaxticket.report.axes import legend_below, paint_spread, set_remaining_axis
from jaxticket.report.figures import Figure, draw, slug
from jaxticket.report.groups import Group, at_case, cases, dense_group, group_rows, sparse_branches
from jaxticket.report.sections.accuracy import paint_dense
from jaxticket.report.sections.section import Section, render, spread_note
from jaxticket.report.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def rounds(study: Study) -> Section | None:
    """A panel for each kind of mask and each case, such as each learning rate; None where there are no cases."""
    groups = group_rows(study.rows)
    shown = [
        group
        for found in sparse_branches(groups).values()
        for group in found
        if group.case and "part" not in group.case and group.remaining > 0 and group.spread("test_accuracy").n
    ]
    figures = []
    for kind in dict.fromkeys(kinds.kind_of(group.branch) for group in shown):
        for case in cases(shown):
            here = [group for group in shown if group.case == case and kinds.kind_of(group.branch) == kind]
            if len(here) > 1:
                title = (kinds.KINDS.get(kind, "Accuracy")) + at_case(case)
                lines = [
                    (kinds.look_of(branch), [group for group in here if group.branch == branch])
                    for branch in dict.fromkeys(group.branch for group in here)
                ]
                figures.append(rounds_panel(f"accuracy_{slug(title)}", title, dense_group(groups, case), lines))
    if not figures:
        return None
    note = spread_note(any(group.n > 1 for group in shown))
    html = render("panels.html.jinja", figures=figures, note=note)
    return Section("accuracy", "Accuracy against weights remaining", html, tuple(figures))


def rounds_panel(file: str, title: str, dense: Group | None, lines: list[tuple[kinds.Look, list[Group]]]) -> Figure:
    """A small panel of test accuracy against the weights remaining, a line for each look, the dense networks level."""

    def paint(axes: "Axes") -> None:
        shares = [100 * group.remaining for _, found in lines for group in found]
        if dense is not None and dense.spread("test_accuracy").n:
            paint_dense(axes, "test_accuracy", dense, with_margin=False)
            shares.append(100 * dense.remaining)
        for look, found in lines:
            points = [(100 * group.remaining, group.spread("test_accuracy").values) for group in found]
            paint_spread(axes, sorted(points, reverse=True), **look._asdict())
        set_remaining_axis(axes, shares)
        axes.set_title(title)
        axes.set_ylabel("Test accuracy")
        legend_below(axes)

    names = ", ".join([*(["dense"] if dense else []), *dict.fromkeys(found[0].branch for _, found in lines)])
    label = f"{title}: test accuracy against the percentage of prunable weights remaining, for {names}"
    return draw(file, label, paint, small=True)
