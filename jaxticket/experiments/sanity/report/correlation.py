"""The correlation indicator against the learning rate: does training keep what the weights started as?"""

import dataclasses
from collections.abc import Iterable, Mapping

from jaxticket.experiments.sanity.report.looks import KINDS
from jaxticket.lab.row import number
from jaxticket.report import Axis, Note, Panels, Study, theme
from jaxticket.report.figures import slug
from jaxticket.report.panels import Level, Line, LinesPanel, Panel
from jaxticket.report.points import points_by
from jaxticket.report.section import Section, spread_note

_NOTE = (
    "The indicator is the share of the largest weights before training that are among the largest after it, layer by "
    "layer. On the dotted line, the share p itself, the two have nothing to do with each other; above it the initial "
    "weights still show. Initial are those the network started from, other are those of another initialisation of the "
    "same seed; both are under the ticket's mask, dense is the whole network."
)


@dataclasses.dataclass(frozen=True)
class Correlation:
    """How far the largest weights before and after training are the same ones: the indicator, in [0, 1].

    `mask` is `dense` or how the mask was found; `start` is `init` against the weights the network started from,
    `reinit` against others; `layers` has the indicator of each path. None is not defined.
    """

    lr: float
    level: int
    mask: str
    start: str
    seed: int
    correlation: float | None = None
    layers: Mapping[str, float] = dataclasses.field(default_factory=dict)


def correlation_section(study: Study) -> Section | None:
    """A panel for each kind of mask and each level (Ma et al. 2021, figure 6)."""
    entries = study.records("correlation", Correlation)
    found = [entry for entry in entries if entry.correlation is not None]
    options = study.config.get("config")
    p = number(options.get("correlation")) if isinstance(options, dict) else None
    dense = [entry for entry in found if entry.mask == "dense"]
    masks = sorted({(entry.mask, entry.level) for entry in found if entry.mask != "dense"})
    if dense and not masks:
        masks = [("dense", 0)]
    panels: list[Panel] = []
    for mask, level in masks:
        here = [entry for entry in found if (entry.mask, entry.level) == (mask, level)]
        title = "Dense network" if mask == "dense" else f"{KINDS.get(mask, mask)}, level {level}"
        panels.append(_panel(f"correlation_{slug(mask)}_{level}", title, dense if mask != "dense" else [], here, p))
    if not entries:
        return None
    note = f"{_NOTE} {spread_note(len({entry.seed for entry in found}) > 1)}"
    lines = [
        (one.lr, one.level, one.mask, one.start, one.seed, layer, value)
        for one in entries
        for layer, value in {"": one.correlation, **one.layers}.items()
    ]
    tables = {"correlation": [("lr", "level", "mask", "start", "seed", "layer", "correlation"), *lines]}
    parts = (Note(note), Panels(panels)) if panels else ()
    return Section("correlation", "Correlation with the initial weights", parts, tables)


def _panel(name: str, title: str, dense: list[Correlation], here: list[Correlation], p: float | None) -> LinesPanel:
    def line(label: str, entries: Iterable[Correlation], colour: str, marker: str, style: object = "-") -> Line:
        points = points_by(entries, lambda one: one.lr, lambda one: one.correlation)
        # A single learning rate leaves no line to see.
        return Line(label, points, colour, marker or ("D" if len(points) == 1 else ""), style)

    against = "" if p is None else f", and the line at {p:g} of independent weights"
    return LinesPanel(
        name,
        title,
        f"{title}: correlation of weights before and after training against learning rate{against}",
        Axis("Learning rate", "log", ticks=sorted({one.lr for one in [*dense, *here]})),
        Axis("Indicator", low=0, high=1.02),
        lines=[
            line("dense", dense, theme.light("dense"), "", theme.DASHED),
            line("initial", [one for one in here if one.start == "init"], theme.series(0), "o"),
            line("other", [one for one in here if one.start == "reinit"], theme.series(1), "s"),
        ],
        levels=[] if p is None else [Level(p, f"p = {p:g}", theme.light("ink"), theme.DOTTED)],
        legend=4,
    )
