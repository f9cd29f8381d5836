"""Pictures of masks: which weights of a layer each method keeps (Chen et al. 2022, figure A9)."""

import math
from typing import TYPE_CHECKING

from jaxticket.report import text, theme
from jaxticket.report.figures import Figure, draw, slugs
from jaxticket.report.sections.layers import natural
from jaxticket.report.sections.section import Section, render
from jaxticket.report.structures import Picture, pictures
from jaxticket.report.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SCALE = (0.0, 0.05, 0.25, 0.5, 1.0)


def heatmaps(study: Study) -> Section | None:
    """A row of pictures for each layer, one for each method; None where the study kept none."""
    found = pictures(study)
    if not found:
        return None
    paths = sorted({picture.path for picture in found}, key=natural)
    branches = list(dict.fromkeys(picture.branch for picture in found))
    short_path = dict(zip(paths, slugs(paths), strict=True))
    short_branch = dict(zip(branches, slugs(branches), strict=True))
    rows: list[tuple[str, list[Figure]]] = []
    for path in paths:
        own = {picture.branch: picture for picture in found if picture.path == path}
        names = {branch: f"heatmap_{short_path[path]}_{short_branch[branch]}" for branch in own}
        rows.append((path, [_panel(names[branch], picture) for branch, picture in own.items()]))
    first = found[0]
    html = render(
        "heatmaps.html.jinja", rows=rows, level=first.level, seed=first.seed, scale=[(s, opacity(s)) for s in _SCALE]
    )
    return Section("heatmaps", "Masks in pictures", html, tuple(figure for _, row in rows for figure in row))


def opacity(density: float) -> float:
    """How strongly a kept share is drawn: its square root, so that sparse masks are seen at all."""
    return math.sqrt(density)


def _panel(file: str, picture: Picture) -> Figure:
    rows, columns = picture.shape
    kept = text.share(mean_density(picture))

    def paint(axes: "Axes") -> None:
        from matplotlib.colors import to_rgb

        colour = to_rgb(theme.light("series0"))
        # Colour by opacity, so that the picture does on a dark page too.
        pixels = [[(*colour, opacity(share)) for share in row] for row in picture.density]
        axes.imshow(pixels, aspect="auto", interpolation="none", extent=(0, columns, rows, 0))
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(True)
        axes.set_xticks([0, columns])
        axes.set_yticks([0, rows])
        axes.set_title(f"{picture.branch}, about {kept} kept")
        axes.set_xlabel("Weights of a channel")
        axes.set_ylabel("Output channels")

    label = f"Which weights of {picture.path} {picture.branch} keeps, {rows} output channels by {columns}, {kept} kept"
    return draw(file, label, paint, small=True)


def mean_density(picture: Picture) -> float:
    """The kept share of the whole, from parts of nearly equal size."""
    return math.fsum(map(math.fsum, picture.density)) / (len(picture.density) * len(picture.density[0]))
