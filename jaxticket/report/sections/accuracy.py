"""Accuracy against the share of weights that remain: the figure of the lottery-ticket literature."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from jaxticket.report import text, theme
from jaxticket.report.axis import Axis, remaining_axis
from jaxticket.report.controls import is_control
from jaxticket.report.figures import slug
from jaxticket.report.groups import (
    MARGIN,
    Group,
    at_case,
    cases,
    comparable_groups,
    dense_group,
    group_rows,
    sparse_branches,
    sparsest_match,
)
from jaxticket.report.panels import Level, Line, LinesPanel, Mark, Panel
from jaxticket.report.parts import Note, Panels
from jaxticket.report.section import Section, spread_note
from jaxticket.report.study import Study

# With more branches than this the legend would cover their lines.
_MOST_INSIDE = 3
_METRICS = (("test_accuracy", "Test accuracy"), ("val_accuracy", "Validation accuracy"))
_TITLE = "Accuracy against weights remaining"


def accuracy_section(study: Study) -> Section | None:
    """Test and validation accuracy over the weights remaining, whole and close to the dense networks.

    Where there are cases, such as learning rates, it has a panel of test accuracies for each.
    """
    if any(group.case for group in comparable_groups(group_rows(study.rows))):
        return accuracy_by_case(study, lambda branch: ("Accuracy", None))
    return accuracy_of(study)


def accuracy_of(
    study: Study,
    *,
    leave_out: Callable[[str], bool] = lambda branch: False,
    won: Mapping[str, int | None] | None = None,
) -> Section | None:
    """The section of a study without cases, and without the branches to `leave_out`.

    `won` is branch -> the level that the study found to be the sparsest winning one, to be marked by a star; by default
    a ring marks the sparsest level that is as good as the dense networks.
    """
    groups = comparable_groups(group_rows(study.rows))
    branches = {
        branch: shown
        for branch, found in sparse_branches(groups).items()
        if not leave_out(branch) and (shown := [group for group in found if group.remaining > 0])
    }
    dense = dense_group(groups)
    whole, near = [], []
    for metric, title in _METRICS:
        known = [group for found in branches.values() for group in found if group.spread(metric).n]
        known_dense = dense is not None and dense.spread(metric).n > 0
        if not known or len(known) + known_dense < 2:
            continue  # A single point needs no figure.
        series = [
            (theme.look(i, branch, theme.DASHED if is_control(branch) else "-"), found)
            for i, (branch, found) in enumerate(branches.items())
        ]
        marks = _marks(series, dense, won) if metric == "test_accuracy" and dense is not None else ()
        look: dict[str, Any] = {
            "metric": metric,
            "marks": marks,
            "legend": 3 if len(branches) > _MOST_INSIDE else 0,
            "small": False,
        }
        whole.append(remaining_panel(metric, title, series, dense, **look))
        if limits := _near_limits(metric, known, dense):
            near.append(remaining_panel(f"{metric}_near", f"{title}, near dense", series, dense, limits=limits, **look))
    if not whole:
        return None
    note = spread_note(any(group.n > 1 for group in groups))
    if won:
        note += (
            " The star marks the sparsest level whose mean test accuracy is not below dense; whether its win is "
            "settled is said above."
        )
    elif dense is not None:
        note += f" The ring marks the sparsest level whose mean test accuracy is at most {MARGIN} below dense."
    return Section("accuracy", _TITLE, (Note(note), _Views(whole, near) if near else Panels(whole)))


def accuracy_by_case(
    study: Study, kind_of: Callable[[str], tuple[str, theme.LineLook | None]], *, notes: Sequence[str] = ()
) -> Section | None:
    """A panel for each kind of branch and each case, such as each learning rate; None where there are no cases.

    `kind_of` a branch is the title of its panels, with how it is drawn.
    """
    groups = comparable_groups(group_rows(study.rows))
    known = [
        group
        for found in sparse_branches(groups).values()
        for group in found
        if group.case and group.remaining > 0 and group.spread("test_accuracy").n
    ]
    panels: list[Panel] = []
    for kind in dict.fromkeys(kind_of(group.branch)[0] for group in known):
        for case in cases(known):
            here = [group for group in known if group.case == case and kind_of(group.branch)[0] == kind]
            if len(here) > 1:
                title = kind + at_case(case)
                series = [
                    (kind_of(branch)[1] or theme.look(i, branch), [group for group in here if group.branch == branch])
                    for i, branch in enumerate(dict.fromkeys(group.branch for group in here))
                ]
                panels.append(remaining_panel(f"accuracy_{slug(title)}", title, series, dense_group(groups, case)))
    if not panels:
        return None
    note = " ".join([spread_note(any(group.n > 1 for group in known)), *notes])
    return Section("accuracy", _TITLE, (Note(note), Panels(panels)))


def remaining_panel(
    name: str,
    title: str,
    series: Sequence[tuple[theme.LineLook, Sequence[Group]]],
    dense: Group | None,
    *,
    metric: str = "test_accuracy",
    limits: tuple[float, float] | None = None,
    **options: Any,
) -> LinesPanel:
    """An accuracy, `metric`, against the weights remaining: a line for each look, the dense networks as a level.

    `limits` are of the y axis, None shows all; `options` are attributes of `LinesPanel`.
    """
    lines = [Line(look.label, points_of(found, metric), look.colour, look.marker, look.style) for look, found in series]
    levels = []
    if dense is not None and (spread := dense.spread(metric)).mean is not None:
        levels.append(Level(spread.mean, "dense", band=(min(spread.values), max(spread.values))))
        if limits and metric == "test_accuracy":
            label = f"dense \N{MINUS SIGN} {MARGIN}"
            levels.append(Level(spread.mean - MARGIN, label, style=theme.DOTTED))
    include = [100 * dense.remaining] if levels and dense is not None else []
    names = ", ".join([*(["dense"] if dense else []), *dict.fromkeys(found[0].branch for _, found in series if found)])
    return LinesPanel(
        name,
        title,
        f"{title}: {metric.replace('_', ' ')} against the percentage of prunable weights remaining, for {names}",
        remaining_axis(*include),
        Axis(
            "Test accuracy" if options.get("small", True) else "", low=limits and limits[0], high=limits and limits[1]
        ),
        lines=lines,
        levels=levels,
        **options,
    )


def points_of(groups: Sequence[Group], metric: str = "test_accuracy") -> list[tuple[float, tuple[float, ...]]]:
    """(percentage of weights remaining, the seeds' values) of every group, the most weights first."""
    return sorted(((100 * group.remaining, group.spread(metric).values) for group in groups), reverse=True)


@dataclasses.dataclass(frozen=True)
class _Views:
    """The whole range and the part close to dense, of which one is shown."""

    whole: Sequence[Panel]
    near: Sequence[Panel]

    @property
    def panels(self) -> Sequence[Panel]:
        return [*self.whole, *self.near]

    @property
    def html(self) -> Markup:
        return Markup(
            '<div class="views">\n<input type="radio" name="view" id="view-whole" checked><label for="view-whole">'
            'Whole range</label><input type="radio" name="view" id="view-near"><label for="view-near">Close to dense'
            "</label>\n"
            "{}\n{}\n</div>"
        ).format(Panels(self.whole, "whole").html, Panels(self.near, "near").html)


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


def _marks(
    series: Sequence[tuple[theme.LineLook, Sequence[Group]]], dense: Group, won: Mapping[str, int | None] | None
) -> list[Mark]:
    """A mark for the best level of every branch but controls, with the percentage at the sparsest of all."""
    found = []
    for look, groups in series:
        if won:
            best = next((group for group in groups if group.level == won.get(group.branch)), None)
        else:
            best = None if is_control(groups[0].branch) else sparsest_match(groups, dense)
        if best is not None and (mean := best.mean("test_accuracy")) is not None:
            found.append((100 * best.remaining, mean, look.colour))
    sparsest = min(found, default=None)
    return [
        Mark(
            *one,
            marker="*" if won else "o",
            size=17 if won else 11,
            text=text.remaining(one[0] / 100) if one == sparsest else "",
        )
        for one in found
    ]
