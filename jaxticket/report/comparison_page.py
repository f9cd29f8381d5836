"""One page of several experiments: accuracy against sparsity in one panel for each network and data set, tables."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jaxticket.core.versions import versions
from jaxticket.report import text, theme
from jaxticket.report.axes import legend_below, paint_spread, set_remaining_axis
from jaxticket.report.comparison import Experiment, Line, comparison_csv, differing, lines_of, read_experiments
from jaxticket.report.figures import Figure, draw, slugs
from jaxticket.report.groups import MARGIN
from jaxticket.report.sections.section import Section, render, spread_note
from jaxticket.storage import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More lines than this cannot be told apart: eight colours, each with its marker, in three styles.
_MOST = 24
_STYLES = ("-", (0, (5, 2)), (0, (1.2, 1.6)))
# How far below the best dense network the second panel reaches.
_DEPTH = 0.04


def write_comparison(
    paths: Sequence[Path | str], out: Path | str | None = None, *, note: Callable[[str], None] = lambda _: None
) -> Path:
    """Writes a page that compares experiments, and its numbers as CSV beside it.

    Args:
        paths: folders of experiments, or folders that hold such.
        out: the page; None: `comparison.html` in the first folder, or beside it where it is an experiment's own.
        note: told in one line of each experiment that is left out, for its files are damaged, or whose files were
            changed after it wrote them.

    Returns:
        The path of the page; the table has the same name and ends in `.csv`.

    Raises:
        JaxticketError: a folder without experiments, or none that can be read, or a file that cannot be written.
    """
    folders = [Path(path) for path in paths]
    damaged: list[str] = []
    experiments = read_experiments(folders, left_out=damaged.append)
    if out is None:
        own = (folders[0] / "summary.json").is_file()
        out = (folders[0].resolve().parent if own else folders[0]) / "comparison.html"
    page = Path(out)
    table = page.with_suffix(".csv")
    for line in [f"left out: {said}" for said in damaged] + warnings(experiments):
        note(line)
    with contextlib.ExitStack() as stack:
        for experiment in experiments:
            stack.enter_context(experiment.study.blamed(experiment.folder))
        html, sheet = make_comparison(experiments, table.name, left_out=damaged), comparison_csv(experiments)
    write_bytes(page, html.encode())
    write_bytes(table, sheet.encode())
    return page


def warnings(experiments: Sequence[Experiment]) -> list[str]:
    """A line for every experiment whose files were changed after it wrote them."""
    return [f"{one.folder.name}: {one.study.warning}" for one in experiments if one.study.warning]


def make_comparison(
    experiments: Sequence[Experiment], table: str = "comparison.csv", *, left_out: Sequence[str] = ()
) -> str:
    """The page; the same experiments give the same bytes.

    Args:
        experiments: made by `read_experiments`.
        table: the name of the CSV file beside the page.
        left_out: a line for each experiment that could not be read.
    """
    lines = [line for experiment in experiments for line in lines_of(experiment)]
    settings = list(dict.fromkeys(experiment.setting for experiment in experiments))
    sections = [_curves(settings, lines), _numbers(lines), _differences(experiments)]
    count = text.count(len(experiments), "experiment")
    html = render(
        "comparison_page.html.jinja",
        notes=[],
        name="comparison",
        folder=count,
        title="Experiments compared",
        subtitle=", ".join(settings),
        warnings=warnings(experiments),
        left_out=left_out,
        complete=all(experiment.study.complete for experiment in experiments),
        rows=True,
        networks=text.count(sum(len(experiment.study.rows) for experiment in experiments), "network"),
        command="",
        sections=[section for section in sections if section],
        table=table,
        colours=theme.COLOURS,
        version=versions()["jaxticket"],
    )
    return str(html)


def _curves(settings: Sequence[str], lines: Sequence[Line]) -> Section | None:
    figures: list[Figure] = []
    left_out = 0
    for name, setting in zip(slugs(settings), settings, strict=True):
        own = [line for line in lines if line.experiment.setting == setting and line.points]
        if sum(len(line.points) for line in own) < 2:
            continue  # A single point needs no figure.
        figures.append(_panel(f"accuracy-{name}", setting, own[:_MOST], None))
        left_out += max(len(own) - _MOST, 0)
        limits = _near(own)
        if limits:
            figures.append(_panel(f"near-{name}", f"{setting}, near dense", own[:_MOST], limits))
    if not figures:
        return None
    note = spread_note(any(group.n > 1 for line in lines for group in line.groups))
    note += f" Rings mark the sparsest level whose mean test accuracy is at most {MARGIN} below its own dense networks."
    if left_out:
        note += f" The table also has {text.count(left_out, 'line')} that are not drawn."
    html = render("panels.html.jinja", note=note, figures=figures)
    return Section("accuracy", "Accuracy against weights remaining", html, tuple(figures))


def _near(lines: Sequence[Line]) -> tuple[float, float] | None:
    """A window around the best accuracies of dense networks; None where all accuracies are in it."""
    dense = [mean for line in lines if line.dense and (mean := line.dense.spread("test_accuracy").mean) is not None]
    values = [value for line in lines for group in line.points for value in group.spread("test_accuracy").values]
    if not dense or min(values) >= max(dense) - 2 * _DEPTH:
        return None
    return max(dense) - _DEPTH, max(values) + 0.004


def _panel(file: str, title: str, lines: Sequence[Line], limits: tuple[float, float] | None) -> Figure:
    def paint(axes: "Axes") -> None:
        for i, line in enumerate(lines):
            points = [(100 * group.remaining, group.spread("test_accuracy").values) for group in line.points]
            colour, marker = theme.series(i), theme.marker(i)
            style = _STYLES[i // len(theme.MARKERS) % len(_STYLES)]
            paint_spread(axes, points, colour=colour, marker=marker, label=line.label, linestyle=style)
            mean = line.best.spread("test_accuracy").mean if line.best else None
            if line.best and mean is not None:
                ring = {"markerfacecolor": "none", "markeredgecolor": colour, "markeredgewidth": 1.6}
                axes.plot(100 * line.best.remaining, mean, "o", markersize=11, zorder=4, **ring)
        shares = [100 * group.remaining for line in lines for group in line.points]
        set_remaining_axis(axes, shares)
        if limits is not None:
            axes.set_ylim(*limits)
        axes.set_title(title)
        axes.set_ylabel("Test accuracy")
        legend_below(axes, columns=2 if len(lines) > 1 else 1)

    label = f"Test accuracy against the percentage of prunable weights remaining, {title}, for "
    return draw(file, label + ", ".join(line.label for line in lines), paint)


def _numbers(lines: Sequence[Line]) -> Section:
    html = render(
        "comparison_numbers.html.jinja",
        lines=lines,
        margin=MARGIN,
        settings=len({line.experiment.setting for line in lines}),
    )
    return Section("numbers", "Numbers", html)


def _differences(experiments: Sequence[Experiment]) -> Section:
    html = render("comparison_options.html.jinja", experiments=experiments, keys=differing(experiments))
    return Section("differences", "In what they differ", html)
