"""Instability: the error between two networks that differ by nothing but the order of their data."""

import dataclasses

from jaxticket.report import Axis, Study, theme
from jaxticket.report.figures import slug
from jaxticket.report.groups import Spread
from jaxticket.report.panels import Line, LinesPanel, Panel
from jaxticket.report.parts import Note, Panels, TablePanel, spread_cell
from jaxticket.report.points import points_by
from jaxticket.report.section import Section, spread_note


@dataclasses.dataclass(frozen=True)
class Instability:
    """The test errors on the straight way between two networks trained from one start in different data orders.

    `positions` are from 0 to 1; `barrier` is by how much the highest error exceeds the line between the ends.
    """

    lr: float
    branch: str
    level: int
    seed: int
    barrier: float | None = None
    positions: tuple[float | None, ...] = ()
    errors: tuple[float | None, ...] = ()

    @property
    def points(self) -> list[tuple[float, float]]:
        """(position, test error) where both are known."""
        pairs = zip(self.positions, self.errors, strict=False)
        return [(at, error) for at, error in pairs if at is not None and error is not None]


def instability_section(study: Study) -> Section | None:
    """A panel for each branch and level, a line for each learning rate, and the barriers as a table."""
    found = study.records("instability", Instability)
    if not found:
        return None
    lrs = sorted({entry.lr for entry in found})
    panels: list[Panel] = []
    rows = []
    for branch, level in dict.fromkeys((entry.branch, entry.level) for entry in found):
        here = [entry for entry in found if (entry.branch, entry.level) == (branch, level)]
        title = branch if branch == "dense" else f"{branch}, level {level}"
        if any(entry.points for entry in here):
            panels.append(_panel(f"instability_{slug(branch)}_{level}", title, here, lrs))
        barriers = [Spread.of(entry.barrier for entry in here if entry.lr == lr) for lr in lrs]
        rows.append([branch, f"{level}", *map(spread_cell, barriers)])
    many = len({entry.seed for entry in found}) > 1
    note = (
        "Two networks are trained from the same start and mask, with the data in different orders; the test error is "
        "measured on the straight way from one to the other. The barrier is by how much it rises above the line "
        "between the two ends: near 0 the training is stable, both ended in the same valley (Frankle et al. 2020). "
        f"{spread_note(many)} The table has the barriers, mean ± standard deviation over seeds."
    )
    table = TablePanel("Error barriers", ("branch", "level", *(f"lr {lr:g}" for lr in lrs)), rows)
    lines = [
        (one.lr, one.branch, one.level, one.seed, one.barrier, at, error)
        for one in found
        for at, error in one.points or [(None, None)]
    ]
    tables = {"instability": [("lr", "branch", "level", "seed", "barrier", "position", "test_error"), *lines]}
    return Section("instability", "Instability", (Note(note), Panels(panels), table), tables)


def _panel(name: str, title: str, here: list[Instability], lrs: list[float]) -> LinesPanel:
    lines = []
    for i, (lr, colour) in enumerate(zip(lrs, theme.ramp(len(lrs) + 1), strict=False)):
        pairs = [pair for entry in here if entry.lr == lr for pair in entry.points]
        points = points_by(pairs, lambda pair: pair[0], lambda pair: pair[1])
        lines.append(Line(f"lr {lr:g}", points, colour, theme.marker(i), theme.STYLES[i % len(theme.STYLES)]))
    return LinesPanel(
        name,
        title,
        f"{title}: test error on the straight way between two networks that saw the data in different orders",
        Axis("Position between the two networks"),
        Axis("Test error"),
        lines=lines,
    )
