"""How the networks trained: loss and accuracy by epoch for a handful of levels."""

from collections.abc import Iterable

from jaxticket.report import theme
from jaxticket.report.axis import Axis
from jaxticket.report.controls import is_control
from jaxticket.report.figures import slugs
from jaxticket.report.groups import (
    Case,
    Group,
    case_key,
    comparable_groups,
    dense_group,
    first_branches,
    group_rows,
    sparse_branches,
)
from jaxticket.report.panels import ColourBar, Line, LinesPanel, Panel
from jaxticket.report.parts import Note, Panels
from jaxticket.report.points import mean_points, points_by
from jaxticket.report.section import Section
from jaxticket.report.study import EpochCurves, Study

MOST_LEVELS = 6
MOST_BRANCHES = 4
Points = list[tuple[float, float]]


def curves_section(study: Study) -> Section | None:
    """Learning curves, the mean over seeds, of the dense networks and some levels of every branch."""
    groups = group_rows(study.rows)
    whole = {case_key(group.case) for group in comparable_groups(groups)}
    # What is compared with no network of its own case, and controls, go last, so that they are the ones left out.
    branches = dict(
        sorted(
            sparse_branches(groups).items(),
            key=lambda item: is_control(item[0]) or case_key(item[1][0].case) not in whole,
        )
    )
    # Without sparse networks the dense ones are shown by themselves.
    branches = branches or {group.name: [] for group in groups if group.branch == "dense"}
    denses = {
        name: dense_group(groups, found[0].case) if found else next(group for group in groups if group.name == name)
        for name, found in branches.items()
    }
    by_network: dict[tuple[str, int, Case], list[EpochCurves]] = {}
    for epoch in study.epochs:
        numbers = {name: value for name, value in epoch.case.items() if not isinstance(value, str)}
        by_network.setdefault((epoch.treatment, epoch.level, case_key(numbers)), []).append(epoch)
    has_val = any(epoch.val_accuracy is not None for epoch in study.epochs)
    second = {"val_accuracy": "Validation accuracy"} if has_val else {"train_accuracy": "Training accuracy"}
    metrics = {"train_loss": "Training loss"} | second
    panels: list[Panel] = []
    shown, left_out = first_branches(branches, MOST_BRANCHES)
    for branch, short in zip(shown, slugs(list(shown)), strict=True):
        dense = denses[branch]
        levels = pick([*([dense] if dense else []), *shown[branch]], MOST_LEVELS)
        whose = f" of {branch}" if len(shown) > 1 else ""
        for name, title in metrics.items():
            own = [by_network.get((of.branch, of.level, case_key(of.case)), []) for of in levels]
            lines = [(group, mean_curve(epochs, name)) for group, epochs in zip(levels, own, strict=True)]
            if lines := [(group, line) for group, line in lines if line]:
                panels.append(_panel(f"{name}_{short}", name, title + whose, lines))
    if not panels:
        return None
    note = "A line is the mean over seeds." if any(group.n > 1 for group in groups) else "One seed (n = 1)."
    note += f" Not shown: {', '.join(left_out)}." if left_out else ""
    return Section("training", "Training", (Note(note), Panels(panels)))


def mean_curve(epochs: Iterable[EpochCurves], name: str) -> Points:
    """(epoch, mean over the seeds that know the value), by epoch; epochs nobody knows are left out."""
    return mean_points(points_by(epochs, lambda epoch: epoch.epoch, lambda epoch: getattr(epoch, name)))


def pick(groups: list[Group], most: int) -> list[Group]:
    """At most `most` of them, evenly spaced, the first and the last included."""
    if len(groups) <= most:
        return groups
    return [groups[round(i * (len(groups) - 1) / (most - 1))] for i in range(most)]


def _panel(file: str, name: str, title: str, lines: list[tuple[Group, Points]]) -> LinesPanel:
    colours = theme.ramp(len(lines))
    kept = [f"{100 * group.remaining:.2g}%" if group.remaining < 1 else "100%" for group, _ in lines]
    shares = ", ".join(f"{100 * group.remaining:.3g}" for group, _ in lines)
    return LinesPanel(
        file,
        title,
        f"{title} by epoch, one line each for {shares} percent of weights remaining",
        Axis("Epoch", "whole"),
        Axis("", "log" if name.endswith("loss") else "linear"),
        lines=[
            # Without a marker a single epoch would not be seen.
            Line("", points, colour, "o" if len(points) < 3 else "", width=1.6)
            for (_, points), colour in zip(lines, colours, strict=True)
        ],
        bar=ColourBar("kept", colours, kept) if len(lines) > 1 else None,
        small=False,
    )
