"""What each aid of training is worth: accuracies of every source and sparsity, and differences from the plain one."""

from typing import TYPE_CHECKING

from jaxticket.report import text, theme
from jaxticket.report.aided import Cell, Interval, cells
from jaxticket.report.axes import legend_below
from jaxticket.report.figures import Figure, draw, slug
from jaxticket.report.sections.section import Section, render
from jaxticket.report.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def aids(study: Study) -> Section | None:
    """A table with a column for each cell, and a panel of differences for each source; None for other studies."""
    found = cells(study)
    if not found:
        return None
    by_place: dict[tuple[str, float], dict[str, Cell]] = {}
    for cell in found:
        by_place.setdefault((cell.source, cell.sparsity), {})[cell.name] = cell
    names = list(dict.fromkeys(cell.name for cell in found))
    sources = list(dict.fromkeys(cell.source for cell in found if cell.difference is not None))
    figures = [_panel(source, [cell for cell in found if cell.source == source]) for source in sources]
    rows = [(source, sparsity, [line.get(name) for name in names]) for (source, sparsity), line in by_place.items()]
    html = render(
        "aids.html.jinja",
        figures=figures,
        names=names,
        rows=rows,
        interval=_words,
        many=any(cell.accuracy.n > 1 for cell in found),
    )
    return Section("aids", "What the aids are worth", html, tuple(figures))


def _words(interval: Interval) -> str:
    """A difference and half of its interval, which is symmetric: `+0.0110 ± 0.0130`."""
    said = text.difference(interval.mean)
    if interval.low is None or interval.high is None:
        return said
    return f"{said} ± {(interval.high - interval.low) / 2:.4f}"


def _panel(source: str, found: list[Cell]) -> Figure:
    names = list(dict.fromkeys(cell.name for cell in found if cell.difference is not None))
    levels = sorted({(cell.level, cell.sparsity) for cell in found})
    places = {level: i for i, (level, _) in enumerate(levels)}

    def paint(axes: "Axes") -> None:
        for i, name in enumerate(names):
            shown = [(cell, cell.difference) for cell in found if cell.name == name and cell.difference is not None]
            # Beside each other, so that intervals do not cover each other.
            xs = [places[cell.level] + (i - (len(names) - 1) / 2) * 0.7 / len(names) for cell, _ in shown]
            colour, marker = theme.series(i), theme.marker(i)
            means = [100 * difference.mean for _, difference in shown]
            axes.plot(xs, means, color=colour, marker=marker, linestyle="", label=name)
            for x, (_, difference) in zip(xs, shown, strict=True):
                if difference.low is not None and difference.high is not None:
                    axes.plot([x, x], [100 * difference.low, 100 * difference.high], color=colour, linewidth=1.2)
        axes.axhline(0, color=theme.light("dense"), linestyle=(0, (5, 2.5)), linewidth=1.4)
        axes.set_xticks(range(len(levels)), [text.sparsity(sparsity) for _, sparsity in levels])
        axes.set_title(source)
        axes.set_xlabel("Sparsity")
        axes.set_ylabel("Accuracy minus plain (%)")
        legend_below(axes)

    label = f"Differences of test accuracy from training without aids, masks of {source}, at each sparsity"
    return draw(f"aids_{slug(source)}", label, paint, small=True)
