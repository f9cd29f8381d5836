"""Colours by name, for the light page, its dark twin and the figures; told apart without red-green vision.

The series are those of Okabe and Ito (2008), darkened where they were too pale for lines on white; levels and depths
use matplotlib's plasma, whose lightness rises steadily. Line styles and markers differ as well.
"""

from typing import Any, NamedTuple


class LineLook(NamedTuple):
    """How a line is drawn, the same in every panel: its name in the legend, colour, marker and style."""

    label: str
    colour: str
    marker: str = "o"
    style: Any = "-"


class Colour(NamedTuple):
    """One colour as `#rrggbb` on a light and on a dark page."""

    light: str
    dark: str


_RAMP = (
    ("#0d0887", "#9c2bb0"),
    ("#310597", "#aa2fa4"),
    ("#4c02a1", "#ba3899"),
    ("#6600a7", "#c8438c"),
    ("#7e03a8", "#d5537b"),
    ("#9613a1", "#e0636d"),
    ("#ab2494", "#ea745f"),
    ("#bd3786", "#f38553"),
    ("#cc4977", "#f99846"),
    ("#da5b69", "#fdac3b"),
    ("#e76f5a", "#fdc231"),
    ("#f1834c", "#fad82c"),
    ("#f9983e", "#f3f030"),
)
_SERIES = (
    ("#0072b2", "#56b4e9"),
    ("#d55e00", "#ff9a4d"),
    ("#00876c", "#3fd0a4"),
    ("#b4538f", "#e59cc8"),
    ("#b07c00", "#f0c04a"),
    ("#5a4fcf", "#a9a2ff"),
    ("#3a9bc9", "#9ad8f5"),
    ("#8c2d19", "#ffb8a3"),
)
# Distinct light values: a figure's colours are turned back into names when it goes onto the page.
COLOURS = {
    "ink": Colour("#1b2430", "#e6eaf0"),
    "muted": Colour("#5a6675", "#9aa7b6"),
    "grid": Colour("#e4e7eb", "#2c3541"),
    "panel": Colour("#ffffff", "#1a212b"),
    "dense": Colour("#4a5462", "#b9c2cd"),
    **{f"series{i}": Colour(*pair) for i, pair in enumerate(_SERIES)},
    **{f"ramp{i}": Colour(*pair) for i, pair in enumerate(_RAMP)},
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
# Styles of lines; those of controls and of what is not measured are dashed.
DASHED = (0, (5, 2.5))
DOTTED = (0, (1, 2))
STYLES = ("-", DASHED, (0, (3, 1.5, 1, 1.5)), (0, (1, 1.3)))
FONTS = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, DejaVu Sans, sans-serif"


def light(name: str) -> str:
    """A colour as figures are drawn with it."""
    return COLOURS[name].light


def rgb(name: str) -> tuple[float, float, float]:
    """The same as red, green and blue in [0, 1]."""
    red, green, blue = (int(light(name)[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def series(index: int) -> str:
    """The colour of a branch or a layer; they repeat after eight."""
    return light(f"series{index % len(_SERIES)}")


def marker(index: int) -> str:
    """The marker that goes with `series(index)`."""
    return MARKERS[index % len(MARKERS)]


def look(index: int, label: str, style: Any = "-") -> LineLook:
    """How the `index`-th of several lines is drawn."""
    return LineLook(label, series(index), marker(index), style)


def ramp(count: int) -> list[str]:
    """Colours for `count` ordered things, dark to bright, evenly spaced; with many, neighbours share one."""
    last = len(_RAMP) - 1
    return [light(f"ramp{round(i * last / max(count - 1, 1))}") for i in range(count)]
