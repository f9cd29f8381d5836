"""Accuracy against the learning rate: does a ticket win where the dense network is at its best?"""

from typing import TYPE_CHECKING

from jaxticket.report import kinds, text, theme
from jaxticket.report.axes import legend_below, paint_spread, set_log_axis
from jaxticket.report.figures import Figure, draw
from jaxticket.report.groups import Group, group_rows
from jaxticket.report.sections.section import Section, render, spread_note
from jaxticket.report.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def rates(study: Study) -> Section | None:
    """A panel for each kind of mask and each level, a line for each start (Ma et al. 2021, figure 3)."""
    groups = [group for group in group_rows(study.rows) if "lr" in group.case and group.spread("test_accuracy").n]
    lrs = sorted({group.case["lr"] for group in groups})
    if len(lrs) < 2:
        return None
    dense = [group for group in groups if group.branch == "dense"]
    small = [group for group in groups if group.branch == "sdt"]
    figures = []
    for kind, words in kinds.KINDS.items():
        of_kind = [group for group in groups if kinds.kind_of(group.branch) == kind]
        for level in _compared(of_kind):
            here = [group for group in of_kind + small if group.level == level]
            sparsity = text.sparsity(1 - next(group.remaining for group in here))
            figures.append(_panel(f"accuracy_by_lr_{kind}_{level}", f"{words}, {sparsity} sparsity", dense, here, lrs))
    if not figures:
        return None
    note = f"{spread_note(any(group.n > 1 for group in groups))} {kinds.NOTE}"
    html = render("panels.html.jinja", figures=figures, note=note)
    return Section("rates", "Accuracy against learning rate", html, tuple(figures))


def _compared(groups: list[Group]) -> list[int]:
    """The levels at which most was trained; IMP passes through others that have nothing to be compared with."""
    branches = {level: len({g.branch for g in groups if g.level == level}) for level in {g.level for g in groups}}
    return sorted(level for level, count in branches.items() if count == max(branches.values()))


def _panel(file: str, title: str, dense: list[Group], here: list[Group], lrs: list[float]) -> Figure:
    def points(groups: list[Group]) -> list[tuple[float, tuple[float, ...]]]:
        return sorted((group.case["lr"], group.spread("test_accuracy").values) for group in groups)

    branches = list(dict.fromkeys(group.branch for group in here))

    def paint(axes: "Axes") -> None:
        if dense:
            paint_spread(
                axes, points(dense), colour=theme.light("dense"), marker="", label="dense", linestyle=(0, (5, 2.5))
            )
        for branch in branches:
            look = kinds.look_of(branch)
            line = points([group for group in here if group.branch == branch])
            paint_spread(axes, line, colour=look.colour, marker=look.marker, label=look.label)
        set_log_axis(axes, "x", lrs[0], lrs[-1])
        axes.set_xticks(lrs)
        axes.set_title(title)
        axes.set_xlabel("Learning rate")
        axes.set_ylabel("Test accuracy")
        legend_below(axes)

    names = ", ".join([*(["dense"] if dense else []), *branches])
    return draw(file, f"{title}: test accuracy against learning rate for {names}", paint, small=True)
