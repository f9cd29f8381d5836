"""What masks have in common: those of two seeds, and those of two ways of finding them."""

import dataclasses

from jaxticket.experiments.sanity.report.looks import KINDS
from jaxticket.report import Axis, Note, Panels, Section, Study, theme
from jaxticket.report.figures import slug
from jaxticket.report.panels import Line, LinesPanel, Panel
from jaxticket.report.points import mean_points, points_by

_NOTE = (
    "Share of the weights kept in either of two masks that are kept in both (Jaccard); dashed, what random masks with "
    "the same densities in every layer would have. Lines are means over pairs, bands and dots the pairs."
)


@dataclasses.dataclass(frozen=True)
class MaskOverlap:
    """What two masks of equal sparsity have in common, between `seeds` or `kinds`: kept in both over kept in either.

    `chance` is that of random masks with the same densities in every layer; `kind` is `imp`, of two kinds `imp-omp`.
    """

    lr: float
    level: int
    between: str
    kind: str
    seeds: tuple[int, ...] = ()
    jaccard: float | None = None
    chance: float | None = None


def overlap_section(study: Study) -> Section | None:
    """A panel for each pair of masks to compare, a line for each learning rate, over the levels."""
    entries = study.records("overlap", MaskOverlap)
    found = [entry for entry in entries if entry.jaccard is not None]
    panels: list[Panel] = []
    for between, kind in dict.fromkeys((entry.between, entry.kind) for entry in found):
        here = [entry for entry in found if (entry.between, entry.kind) == (between, kind)]
        words = KINDS.get(kind, " and ".join(KINDS.get(part, part) for part in kind.split("-")))
        title = f"{words}, between seeds" if between == "seeds" else f"Between {words}"
        panels.append(_panel(f"overlap_{slug(f'{between}-{kind}')}", title, here))
    if not entries:
        return None
    columns = [field.name for field in dataclasses.fields(MaskOverlap)]
    lines = [dataclasses.astuple(dataclasses.replace(one, seeds=" ".join(map(str, one.seeds)))) for one in entries]
    parts = (Note(_NOTE), Panels(panels)) if panels else ()
    return Section("overlap", "Overlap of masks", parts, {"overlap": [columns, *lines]})


def _panel(name: str, title: str, here: list[MaskOverlap]) -> LinesPanel:
    lines: list[Line] = []
    lrs = sorted({entry.lr for entry in here})
    for i, (lr, colour) in enumerate(zip(lrs, theme.ramp(len(lrs) + 1), strict=False)):
        own = [entry for entry in here if entry.lr == lr]
        measured = points_by(own, lambda one: one.level, lambda one: one.jaccard)
        chance = mean_points(points_by(own, lambda one: one.level, lambda one: one.chance))
        lines.append(Line(f"lr {lr:g}", measured, colour, theme.marker(i)))
        lines.append(Line("", chance, colour, "", theme.DASHED, width=1.2))
    lines.append(Line("chance", [(here[0].level, float("nan"))], theme.light("muted"), "", theme.DASHED, width=1.2))
    return LinesPanel(
        name,
        title,
        f"{title}: Jaccard overlap of masks by level, one line for each learning rate, and that of random masks",
        Axis("Level", "whole"),
        Axis("Jaccard overlap", low=0, high=1.02),
        lines=lines,
    )
