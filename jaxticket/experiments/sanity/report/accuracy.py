"""Accuracy against the learning rate, and for each rate against the weights remaining."""

from jaxticket.experiments.sanity.report.looks import KINDS, NOTE, look_of, mask_kind
from jaxticket.report import Axis, Note, Panels, Study, text, theme
from jaxticket.report.groups import Group, group_rows
from jaxticket.report.panels import Line, LinesPanel, Panel
from jaxticket.report.section import Section, spread_note
from jaxticket.report.sections.accuracy import accuracy_by_case


def rounds_section(study: Study) -> Section | None:
    """A panel of accuracies over the weights remaining for each kind of mask and each learning rate."""
    return accuracy_by_case(study, lambda branch: (KINDS.get(mask_kind(branch), "Accuracy"), look_of(branch)))


def rates_section(study: Study) -> Section | None:
    """A panel for each kind of mask and each level, a line for each start (Ma et al. 2021, figure 3)."""
    groups = [group for group in group_rows(study.rows) if "lr" in group.case and group.spread("test_accuracy").n]
    lrs = sorted({group.case["lr"] for group in groups})
    if len(lrs) < 2:
        return None
    dense = [group for group in groups if group.branch == "dense"]
    small = [group for group in groups if group.branch == "sdt"]
    panels: list[Panel] = []
    for kind, words in KINDS.items():
        of_kind = [group for group in groups if mask_kind(group.branch) == kind]
        for level in _levels(of_kind):
            here = [group for group in of_kind + small if group.level == level]
            sparsity = text.sparsity_text(1 - next(group.remaining for group in here))
            panels.append(_panel(f"accuracy_by_lr_{kind}_{level}", f"{words}, {sparsity} sparsity", dense, here, lrs))
    if not panels:
        return None
    note = f"{spread_note(any(group.n > 1 for group in groups))} {NOTE}"
    return Section("rates", "Accuracy against learning rate", (Note(note), Panels(panels)), after="found")


def _levels(groups: list[Group]) -> list[int]:
    """The levels at which most was trained; IMP passes through others that have nothing to be compared with."""
    branches = {level: len({g.branch for g in groups if g.level == level}) for level in {g.level for g in groups}}
    return sorted(level for level, count in branches.items() if count == max(branches.values()))


def _panel(name: str, title: str, dense: list[Group], here: list[Group], lrs: list[float]) -> LinesPanel:
    def line(groups: list[Group], look: theme.LineLook) -> Line:
        points = sorted((group.case["lr"], group.spread("test_accuracy").values) for group in groups)
        return Line(look.label, points, look.colour, look.marker, look.style)

    branches = list(dict.fromkeys(group.branch for group in here))
    lines = [line(dense, theme.LineLook("dense", theme.light("dense"), "", theme.DASHED))] if dense else []
    lines += [line([group for group in here if group.branch == branch], look_of(branch)) for branch in branches]
    names = ", ".join([*(["dense"] if dense else []), *branches])
    return LinesPanel(
        name,
        title,
        f"{title}: test accuracy against learning rate for {names}",
        Axis("Learning rate", "log", ticks=lrs),
        Axis("Test accuracy"),
        lines=lines,
    )
