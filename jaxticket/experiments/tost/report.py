"""What each aid of training is worth: accuracies of every source and sparsity, and differences from the plain one."""

import dataclasses

from markupsafe import Markup

from jaxticket.report import Axis, Level, Line, LinesPanel, Section, Study, text, theme
from jaxticket.report.figures import slug
from jaxticket.report.parts import Note, Panels, TableCell, TablePanel


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean with its interval of 95 %, which one value does not have."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclasses.dataclass(frozen=True)
class Treatment:
    """The networks of one source, sparsity and choice of aids; `difference` is paired, None for the plain ones."""

    source: str
    level: int
    sparsity: float
    cell: str
    accuracy: Interval
    difference: Interval | None


def aids_section(study: Study) -> Section | None:
    """A table with a column for each choice of aids, and a panel of differences for each source."""
    found = study.records("aids", Treatment)
    if not found:
        return None
    names = list(dict.fromkeys(one.cell for one in found))
    by_mask: dict[tuple[str, float], dict[str, Treatment]] = {}
    for one in found:
        by_mask.setdefault((one.source, one.sparsity), {})[one.cell] = one
    rows = [
        [source, text.sparsity_text(sparsity), *(_cell(line.get(name)) for name in names)]
        for (source, sparsity), line in by_mask.items()
    ]
    note = (
        "Mean test accuracy of networks with the same mask and the same initial weights, trained without aids "
        "(plain) and with them; below it, how much that is more than plain. "
    )
    if any(one.accuracy.n > 1 for one in found):
        note += "Differences are paired by seed; ± and the vertical lines are their intervals of 95%."
    else:
        note += "One seed (n = 1), so there are no intervals."
    sources = list(dict.fromkeys(one.source for one in found if one.difference is not None))
    panels = [_panel(source, [one for one in found if one.source == source]) for source in sources]
    table = TablePanel("Accuracy with and without aids", ("masks of", "sparsity", *names), rows)
    columns = ("mean", "low", "high", "n")
    lines = [
        (
            one.source,
            one.sparsity,
            one.cell,
            *(getattr(of, name, None) for of in (one.accuracy, one.difference) for name in columns),
        )
        for one in found
    ]
    of_difference = ("difference", "difference_low", "difference_high", "difference_n")
    tables = {"aids": [("source", "sparsity", "aids", "accuracy", "low", "high", "n", *of_difference), *lines]}
    return Section("aids", "What the aids are worth", (Note(note), table, Panels(panels)), tables, after="found")


def _cell(one: Treatment | None) -> TableCell:
    """An accuracy, and below it the difference and half of its interval, which is symmetric: `+0.0110 ± 0.0130`."""
    if one is None:
        return None
    shown = Markup("{}").format(text.accuracy_text(one.accuracy.mean))
    if one.difference is None:
        return shown
    difference = text.difference(one.difference.mean)
    if one.difference.low is not None and one.difference.high is not None:
        difference += f" ± {(one.difference.high - one.difference.low) / 2:.4f}"
    return shown + Markup("<br>{}").format(difference)


def _panel(source: str, found: list[Treatment]) -> LinesPanel:
    names = list(dict.fromkeys(one.cell for one in found if one.difference is not None))
    levels = sorted({(one.level, one.sparsity) for one in found})
    at = {level: i for i, (level, _) in enumerate(levels)}
    lines: list[Line] = []
    for i, name in enumerate(names):
        points, colour = [], theme.series(i)
        for one in found:
            if one.cell == name and one.difference is not None:
                # Side by side, so that intervals do not cover each other.
                x = at[one.level] + (i - (len(names) - 1) / 2) * 0.7 / len(names)
                points.append((x, 100 * one.difference.mean))
                if one.difference.low is not None and one.difference.high is not None:
                    ends = [(x, 100 * one.difference.low), (x, 100 * one.difference.high)]
                    lines.append(Line("", ends, colour, "", width=1.2))
        lines.append(Line(name, points, colour, theme.marker(i), ""))
    return LinesPanel(
        f"aids_{slug(source)}",
        source,
        f"Differences of test accuracy from training without aids, masks of {source}, at each sparsity",
        Axis("Sparsity", ticks={float(i): text.sparsity_text(sparsity) for i, (_, sparsity) in enumerate(levels)}),
        Axis("Accuracy minus plain (%)"),
        lines=lines,
        levels=[Level(0)],
    )
