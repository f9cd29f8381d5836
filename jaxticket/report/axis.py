"""The axes of a panel, given as data: label, scale, ticks and limits."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Room beyond the first and the last point of a logarithmic axis, in shares of its length.
_PAD = 0.015


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis of a panel.

    Attributes:
        label: what it measures, with its unit.
        scale: `linear`, `whole` for ticks at whole numbers, or `log` for plain numbers at round ticks.
        reverse: whether it falls from left to right; its limits are then just beyond the first and the last point.
        include: values it has room for, as well as those of the lines.
        ticks: where its ticks are, with texts if it is a mapping; None chooses them.
        names: whether the texts are long names: they are small, and upright below the panel.
        low: lower limit; None takes it from what is drawn.
        high: upper limit, likewise.
    """

    label: str = ""
    scale: Literal["linear", "whole", "log"] = "linear"
    reverse: bool = False
    include: Sequence[float] = ()
    ticks: Sequence[float] | Mapping[float, str] | None = None
    names: bool = False
    low: float | None = None
    high: float | None = None

    def apply(self, axes: "Axes", which: Literal["x", "y"], values: Sequence[float]) -> None:
        """Sets up one of the axes, after everything is drawn on them; `values` are those of the lines along it."""
        from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

        set_ = {name: getattr(axes, f"set_{which}{name}") for name in ("scale", "lim", "ticks", "label")}
        axis = getattr(axes, f"{which}axis")
        known = [*values, *self.include]
        log = self.scale == "log" and bool(known) and min(known) > 0
        if log:
            set_["scale"]("log")
            axis.set_minor_locator(NullLocator())
            axis.set_major_locator(FixedLocator(log_ticks(min(known), max(known))))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        elif self.scale == "whole":
            axis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10], integer=True))
        if self.reverse and log:
            pad = max((max(known) / min(known)) ** _PAD, 1.01)
            set_["lim"](max(known) * pad, min(known) / pad**4)
        if isinstance(self.ticks, Mapping):
            look = {"fontsize": 8, "rotation": 90 if which == "x" else 0} if self.names else {}
            set_["ticks"](list(self.ticks), list(self.ticks.values()), **look)
        elif self.ticks is not None:
            set_["ticks"](self.ticks)
        if self.low is not None or self.high is not None:
            set_["lim"](self.low, self.high)
        set_["label"](self.label)


def remaining_axis(*include: float) -> Axis:
    """The x axis of percentages of prunable weights remaining: the fewer, the further right (Frankle and Carbin 2019).

    Args:
        include: percentages it has room for, as well as those of the lines.
    """
    return Axis("Prunable weights remaining (%)", "log", reverse=True, include=include)


def log_ticks(low: float, high: float) -> list[float]:
    """About two to eight round ticks within [low, high], as even on a logarithmic axis as that allows."""
    inside: list[float] = []
    for bases in ((1, 2, 5), (1, 1.5, 2, 3, 4, 6, 8), range(1, 10), (1,)):
        steps = [base * 10.0**power for power in range(-12, 12) for base in bases]
        inside = [step for step in steps if low * 0.999 <= step <= high * 1.001]
        if 2 < len(inside) < 9:
            return inside
    return inside if len(inside) > 1 else sorted({low, high})
