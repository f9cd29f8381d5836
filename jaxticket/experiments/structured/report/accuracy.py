"""Accuracy against the weights remaining, and every structured method with its control and channel pruning."""

from jaxticket.experiments.structured.report.winners import is_slim, winners
from jaxticket.report import Note, Panels, Study, theme
from jaxticket.report.controls import control_of, is_control
from jaxticket.report.figures import slug
from jaxticket.report.groups import Group, dense_group, group_rows, sparse_branches
from jaxticket.report.panels import Panel
from jaxticket.report.section import Section, spread_note
from jaxticket.report.sections.accuracy import accuracy_of, remaining_panel

_NOTE = (
    "A structured mask trained from the rewind point, and from other initial weights (dashed): only the first has the "
    "ticket's weights. Slim is channel pruning of the dense network, by the criterion in its name."
)


def structured_accuracy_section(study: Study) -> Section | None:
    """Accuracies over the weights remaining; controls and slim baselines have panels of their own."""
    won = {branch: winner.level if winner else None for branch, winner in winners(study).items()}
    return accuracy_of(study, leave_out=lambda branch: is_control(branch) or is_slim(branch), won=won)


def controls_section(study: Study) -> Section | None:
    """A panel for each method with a control, and one for the slim baselines; None where there are neither."""
    groups = group_rows(study.rows)
    known = {
        branch: shown
        for branch, found in sparse_branches(groups).items()
        if (shown := [group for group in found if group.remaining > 0 and group.spread("test_accuracy").n])
    }
    dense = dense_group(groups)
    panels: list[Panel] = []
    for branch, found in known.items():
        control = known.get(control_of(branch))
        if control:
            series = [(theme.look(0, "rewound"), found), (theme.look(1, "other weights", theme.DASHED), control)]
            panels.append(remaining_panel(f"control_{slug(branch)}", branch, series, dense))
    slim = {branch: found for branch, found in known.items() if is_slim(branch)}
    if slim:
        panels.append(remaining_panel("slim", "Slim baselines", _slim(known, slim), dense))
    if not panels:
        return None
    note = f"{_NOTE} {spread_note(any(group.n > 1 for found in known.values() for group in found))}"
    return Section("controls", "Against controls and baselines", (Note(note), Panels(panels)), after="accuracy")


def _slim(known: dict[str, list[Group]], slim: dict[str, list[Group]]) -> list[tuple[theme.LineLook, list[Group]]]:
    """The baselines, after the first branch, the unstructured ticket, whose number of weights they have."""
    first = next(branch for branch in known if not is_control(branch))
    shown = {branch: known[branch] for branch in dict.fromkeys([first, *slim])}
    return [(theme.look(i, branch.removeprefix("slim_")), found) for i, (branch, found) in enumerate(shown.items())]
