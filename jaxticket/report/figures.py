"""Figures as SVG: drawn by matplotlib without its global state, the same bytes for the same data."""

import contextlib
import dataclasses
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from jaxticket.report.theme import COLOURS, FONTS, light

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# In pixels at natural size: two fit a page side by side, and text stays legible when one is scaled to a telephone.
SIZE = (460, 330)
# Of one among many: three fit side by side, and a telephone shows it at natural size.
SMALL = (330, 290)
FORMATS = ("pdf", "png")  # as which figures can be written beside SVG
_PNG_DPI = 300
_METADATA = {
    "svg": ("Date", "Creator", "Format", "Type"),
    "pdf": ("CreationDate", "Creator", "Producer"),
    "png": ("Software",),
}
_FONT = "DejaVu Sans"  # Comes with matplotlib, so the layout is the same on every machine.
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "jaxticket",
    "pdf.fonttype": 42,  # text that can be searched and edited
    "font.family": [_FONT],
    "font.size": 11.5,
    "text.color": light("ink"),
    "text.parse_math": False,
    "figure.facecolor": light("panel"),
    "axes.facecolor": light("panel"),
    "axes.edgecolor": light("muted"),
    "axes.labelcolor": light("muted"),
    "axes.titlecolor": light("ink"),
    "axes.titlesize": 12.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "grid.color": light("grid"),
    "grid.linewidth": 0.8,
    "xtick.color": light("muted"),
    "ytick.color": light("muted"),
    "xtick.major.size": 3.5,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 11,
    "legend.handlelength": 2.2,
}


@dataclasses.dataclass(frozen=True)
class Figure:
    """One drawing.

    Attributes:
        name: of its file, without `.svg`: letters, digits, `-` and `_`.
        label: what it shows, for those who cannot see it.
        svg: the file, in light colours.
        paint: draws on the axes it is given.
        small: whether it is one of many, to be shown at about its natural size.
    """

    name: str
    label: str
    svg: str
    paint: Callable[["Axes"], None] = dataclasses.field(repr=False)
    small: bool = False

    def files(self, formats: Sequence[str] = ()) -> dict[str, bytes]:
        """Name -> content of its files: the SVG, and others in `formats`, `pdf` (vectors) or `png`."""
        others = {f"{self.name}.{one}": _drawn(self.paint, one, self.small) for one in formats}
        return {f"{self.name}.svg": self.svg.encode(), **others}

    @property
    def inline(self) -> Markup:
        """The drawing for the page: scales with its box, follows the page's colours, ids unique to it."""
        body = self.svg[self.svg.index("<svg") :]
        body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
        view = re.search(r'viewBox="([^"]+)"', body)
        assert view is not None
        head = f'<svg role="img" aria-label="{escape(self.label)}" viewBox="{view[1]}">'
        body = head + body[body.index(">") + 1 :]
        body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{self.name}-", body)
        return Markup(re.sub(r"(?<=[ :])#[0-9a-f]{6}\b", _variable, body))


def draw(name: str, label: str, paint: Callable[["Axes"], None], *, small: bool = False) -> Figure:
    """Draws a figure of one panel: `paint` draws on the axes it is given, the rest is as in `Figure`."""
    svg = _drawn(paint, "svg", small).decode().replace(f"'{_FONT}'", FONTS)
    svg = "".join(line.rstrip() + "\n" for line in svg.splitlines())
    return Figure(name, label, svg, paint, small)


def _drawn(paint: Callable[["Axes"], None], file_format: str, small: bool) -> bytes:
    """A file of a figure, without the time and the program that made it."""
    from matplotlib.figure import Figure as Canvas

    with _style():
        width, height = SMALL if small else SIZE
        canvas = Canvas(figsize=(width / 72, height / 72), dpi=72, layout="constrained")
        paint(canvas.add_subplot())
        written = io.BytesIO()
        canvas.savefig(
            written,
            format=file_format,
            dpi=72 if file_format == "svg" else _PNG_DPI,
            metadata=dict.fromkeys(_METADATA[file_format]),
        )
    return written.getvalue()


def slug(text: str) -> str:
    """Any text as a part of a file name and an id."""
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-") or "unnamed"


def slugs(texts: Sequence[str]) -> list[str]:
    """Their slugs, with a number where two would be the same."""
    made: list[str] = []
    for text in texts:
        name, i = slug(text), 2
        while name in made:
            name, i = f"{slug(text)}-{i}", i + 1
        made.append(name)
    return made


@contextlib.contextmanager
def _style() -> Iterator[None]:
    """Our look and nothing of the user's own matplotlib settings, put back afterwards."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


_NAMES = {colour.light: name for name, colour in COLOURS.items()}


def _variable(found: re.Match[str]) -> str:
    name = _NAMES.get(found[0])
    return f"var(--{name})" if name else found[0]
