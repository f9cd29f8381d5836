"""Every structured method beside its control, and beside channel pruning of the dense network."""

from jaxticket.report import theme
from jaxticket.report.figures import slug
from jaxticket.report.groups import Group, dense_group, group_rows, sparse_branches
from jaxticket.report.kinds import Look
from jaxticket.report.sections.rounds import rounds_panel
from jaxticket.report.sections.section import Section, render, spread_note
from jaxticket.report.structures import control_of, is_control, is_slim, is_structured
from jaxticket.report.study import Study

_NOTE = (
    "A structured mask trained from the rewind point, and from other initial weights (dashed): only the first has the "
    "ticket's weights. Slim is channel pruning of the dense network, by the criterion in its name."
)


def controls(study: Study) -> Section | None:
    """A panel for each method with a control, and one for the slim baselines; None where there are neither."""
    if not is_structured(study):
        return None
    groups = group_rows(study.rows)
    known = {
        branch: shown
        for branch, found in sparse_branches(groups).items()
        if (shown := [group for group in found if group.remaining > 0 and group.spread("test_accuracy").n])
    }
    dense = dense_group(groups)
    figures = []
    for branch, found in known.items():
        control = known.get(control_of(branch))
        if control:
            lines = [
                (Look("rewound", theme.series(0), theme.MARKERS[0]), found),
                (Look("other weights", theme.series(1), theme.MARKERS[1], theme.DASHES), control),
            ]
            figures.append(rounds_panel(f"control_{slug(branch)}", branch, dense, lines))
    slim = {branch: found for branch, found in known.items() if is_slim(branch)}
    if slim:
        figures.append(rounds_panel("slim", "Slim baselines", dense, _slim_lines(known, slim)))
    if not figures:
        return None
    many = any(group.n > 1 for found in known.values() for group in found)
    html = render("panels.html.jinja", figures=figures, note=f"{_NOTE} {spread_note(many)}")
    return Section("controls", "Against controls and baselines", html, tuple(figures))


def _slim_lines(known: dict[str, list[Group]], slim: dict[str, list[Group]]) -> list[tuple[Look, list[Group]]]:
    """The baselines, after the first branch, the unstructured ticket, whose number of weights they have."""
    first = next(branch for branch in known if not is_control(branch))
    shown = {branch: known[branch] for branch in dict.fromkeys([first, *slim])}
    return [
        (Look(branch.removeprefix("slim_"), theme.series(i), theme.marker(i)), found)
        for i, (branch, found) in enumerate(shown.items())
    ]
