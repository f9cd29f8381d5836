"""Pictures of masks: which weights of a layer each method keeps (Chen et al. 2022, figure A9)."""

import dataclasses
import math

from markupsafe import Markup

from jaxticket.report import Axis, HeatmapPanel, Study, text, theme
from jaxticket.report.figures import slugs
from jaxticket.report.parts import Heading, Html, Note, Panels, code
from jaxticket.report.section import Part, Section
from jaxticket.report.sections.layers import natural

_SCALE = (0.0, 0.05, 0.25, 0.5, 1.0)


@dataclasses.dataclass(frozen=True)
class Picture:
    """The mask of one layer, made small: kept shares in [0, 1] of the parts of the matrix, row by row.

    `shape` is output channels and weights of each.
    """

    branch: str
    level: int
    seed: int
    path: str
    shape: tuple[int, int]
    density: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        """Refuses what is no picture."""
        if not self.density or not self.density[0] or len({len(row) for row in self.density}) > 1:
            raise ValueError("density is no table of numbers")
        if not all(0 <= value <= 1 for row in self.density for value in row):
            raise ValueError("density has a value outside [0, 1]")

    @property
    def kept(self) -> float:
        """The kept share of the whole, from parts of nearly equal size."""
        return math.fsum(map(math.fsum, self.density)) / (len(self.density) * len(self.density[0]))


def heatmaps_section(study: Study) -> Section | None:
    """A row of pictures for each layer, one for each method; None where the study kept none."""
    found = study.records("heatmap", Picture)
    if not found:
        return None
    paths = sorted({picture.path for picture in found}, key=natural)
    branches = list(dict.fromkeys(picture.branch for picture in found))
    short_branch = dict(zip(branches, slugs(branches), strict=True))
    scale = Markup().join(
        Markup('<span><b><i style="opacity: {:.2f}"></i></b>{:g}%</span>').format(opacity(share), 100 * share)
        for share in _SCALE
    )
    note = (
        "The mask of a layer as a matrix, output channels down and the weights of each across, made smaller: a part is "
        f"drawn the stronger the more of it is kept. Level {found[0].level}, seed {found[0].seed}."
    )
    parts: list[Part] = [Note(note), Html(Markup('<p class="scale"><span>kept</span>{}</p>').format(scale))]
    for path, short in zip(paths, slugs(paths), strict=True):
        own = {picture.branch: picture for picture in found if picture.path == path}
        panels = [_panel(f"heatmap_{short}_{short_branch[branch]}", picture) for branch, picture in own.items()]
        parts += [Heading(code(path)), Panels(panels)]
    return Section("heatmaps", "Masks in pictures", parts, after="costs")


def opacity(density: float) -> float:
    """How strongly a kept share is drawn: its square root, so that sparse masks are seen at all."""
    return math.sqrt(density)


def _panel(name: str, picture: Picture) -> HeatmapPanel:
    rows, columns = picture.shape
    kept = text.share(picture.kept)
    return HeatmapPanel(
        name,
        f"{picture.branch}, about {kept} kept",
        f"Which weights of {picture.path} {picture.branch} keeps, {rows} output channels by {columns}, {kept} kept",
        Axis("Weights of a channel", ticks=(0, columns)),
        Axis("Output channels", ticks=(0, rows)),
        # Colour by opacity, so that the picture does on a dark page too.
        values=[[(*theme.rgb("series0"), opacity(share)) for share in row] for row in picture.density],
        extent=(0, columns, rows, 0),
        stretch=True,
        framed=True,
    )
