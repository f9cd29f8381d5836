"""One page of several experiments: accuracy against sparsity in one panel for each network and data set, tables."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from markupsafe import Markup

from jaxticket.core.versions import versions
from jaxticket.report import text, theme
from jaxticket.report.axis import Axis, remaining_axis
from jaxticket.report.comparison import (
    ComparedLine,
    ComparedStudy,
    comparison_csv,
    differing,
    lines_of,
    read_experiments,
)
from jaxticket.report.figures import slugs
from jaxticket.report.groups import MARGIN, Group
from jaxticket.report.page import Page
from jaxticket.report.panels import Line, LinesPanel, Mark, Panel
from jaxticket.report.parts import Note, Panels, TableCell, TablePanel, code, spread_cell
from jaxticket.report.section import Section, render, spread_note
from jaxticket.report.sections.accuracy import points_of
from jaxticket.report.write import write_figures
from jaxticket.storage import write_bytes

# More lines than this cannot be told apart: eight colours, each with its marker, in three styles.
_MOST = 24
_STYLES = ("-", theme.DASHED, theme.DOTTED)
# How far below the best dense network the second panel reaches.
_DEPTH = 0.04


def write_comparison(
    paths: Sequence[Path | str],
    out: Path | str | None = None,
    *,
    formats: Sequence[str] = (),
    note: Callable[[str], None] = lambda _: None,
) -> Path:
    """Writes a page that compares experiments, and next to it its numbers as CSV and its figures as files.

    Args:
        paths: folders of experiments, or folders that hold such.
        out: the page; None: `comparison.html` in the first folder, or next to it where it is an experiment's own.
        formats: in which figures are written beside SVG, `pdf` or `png`.
        note: told in one line of each experiment that is left out, for its files are damaged or it is a part of
            another, or whose files were changed after it wrote them.

    Returns:
        The path of the page; the table has the same name and ends in `.csv`, the folder of figures in `-figures`.

    Raises:
        JaxticketError: a folder without experiments, or none that can be read, or a file that cannot be written.
    """
    folders = [Path(path) for path in paths]
    left_out: list[str] = []
    experiments = read_experiments(folders, left_out=left_out.append)
    if out is None:
        own = (folders[0] / "summary.json").is_file()
        out = (folders[0].resolve().parent if own else folders[0]) / "comparison.html"
    page = Path(out)
    table = page.with_suffix(".csv")
    for line in [f"left out: {said}" for said in left_out] + warnings(experiments):
        note(line)
    with contextlib.ExitStack() as stack:
        for experiment in experiments:
            stack.enter_context(experiment.study.blamed(experiment.folder))
        made, sheet = make_comparison(experiments, table.name, left_out=left_out), comparison_csv(experiments)
    write_bytes(page, made.html.encode())
    write_bytes(table, sheet.encode())
    if made.figures:
        write_figures(page.with_name(f"{page.stem}-figures"), made.figures, formats)
    return page


def warnings(experiments: Sequence[ComparedStudy]) -> list[str]:
    """A line for every experiment whose files were changed after it wrote them."""
    return [f"{one.folder.name}: {one.study.warning}" for one in experiments if one.study.warning]


def make_comparison(
    experiments: Sequence[ComparedStudy], table: str = "comparison.csv", *, left_out: Sequence[str] = ()
) -> Page:
    """The page; the same experiments give the same bytes.

    `table` is the name of the CSV file next to it; `left_out` has a line for each experiment that is not on it.
    """
    lines = [line for experiment in experiments for line in lines_of(experiment)]
    settings = list(dict.fromkeys(experiment.setting for experiment in experiments))
    sections = [_curves(settings, lines), _numbers(lines), _differences(experiments)]
    shown = [section for section in sections if section]
    count = text.count_text(len(experiments), "experiment")
    html = render(
        "comparison_page.html.jinja",
        notes=[f"{one.label}: {note}" for one in experiments for note in one.study.notes],
        name="comparison",
        folder=count,
        title="Experiments compared",
        subtitle=", ".join(settings),
        warnings=warnings(experiments),
        left_out=left_out,
        standing="",
        complete=all(experiment.study.complete for experiment in experiments),
        rows=True,
        networks=text.count_text(sum(len(experiment.study.rows) for experiment in experiments), "network"),
        command="",
        sections=shown,
        table=table,
        figures=f"{Path(table).stem}-figures/" if any(section.figures for section in shown) else "",
        colours=theme.COLOURS,
        version=versions()["jaxticket"],
    )
    return Page(str(html), tuple(figure for section in shown for figure in section.figures), {})


def _curves(settings: Sequence[str], lines: Sequence[ComparedLine]) -> Section | None:
    panels: list[Panel] = []
    left_out = 0
    for name, setting in zip(slugs(settings), settings, strict=True):
        own = [line for line in lines if line.experiment.setting == setting and line.points]
        if sum(len(line.points) for line in own) < 2:
            continue  # A single point needs no figure.
        panels.append(_panel(f"accuracy-{name}", setting, own[:_MOST], None))
        left_out += max(len(own) - _MOST, 0)
        limits = _near(own)
        if limits:
            panels.append(_panel(f"near-{name}", f"{setting}, near dense", own[:_MOST], limits))
    if not panels:
        return None
    note = spread_note(any(group.n > 1 for line in lines for group in line.groups))
    note += f" Rings mark the sparsest level whose mean test accuracy is at most {MARGIN} below its own dense networks."
    if left_out:
        note += f" The table also has {text.count_text(left_out, 'line')} that are not drawn."
    return Section("accuracy", "Accuracy against weights remaining", (Note(note), Panels(panels)))


def _near(lines: Sequence[ComparedLine]) -> tuple[float, float] | None:
    """A window around the best accuracies of dense networks; None where all accuracies are in it."""
    dense = [mean for line in lines if line.dense and (mean := line.dense.mean("test_accuracy")) is not None]
    values = [value for line in lines for group in line.points for value in group.spread("test_accuracy").values]
    if not dense or min(values) >= max(dense) - 2 * _DEPTH:
        return None
    return max(dense) - _DEPTH, max(values) + 0.004


def _panel(name: str, title: str, lines: Sequence[ComparedLine], limits: tuple[float, float] | None) -> LinesPanel:
    low, high = limits or (None, None)
    marks = [
        Mark(100 * line.best.remaining, mean, theme.series(i))
        for i, line in enumerate(lines)
        if line.best and (mean := line.best.mean("test_accuracy")) is not None
    ]
    return LinesPanel(
        name,
        title,
        f"Test accuracy against the percentage of prunable weights remaining, {title}, for "
        + ", ".join(line.label for line in lines),
        remaining_axis(),
        Axis("Test accuracy", low=low, high=high),
        lines=[
            Line(line.label, points_of(line.points), theme.series(i), theme.marker(i), _STYLES[i // 8 % len(_STYLES)])
            for i, line in enumerate(lines)
        ],
        marks=marks,
        legend=2 if len(lines) > 1 else 1,
        small=False,
    )


def _numbers(lines: Sequence[ComparedLine]) -> Section:
    several = len({line.experiment.setting for line in lines}) > 1
    head = ["experiment", *(["network and data"] if several else []), "n", "dense"]
    for which in ("as good as dense", "fewest weights"):
        head += [f"{which}: remaining", "test accuracy", "vs. dense"]
    rows = [
        [
            line.label,
            *([line.experiment.setting] if several else []),
            f"{line.last.n}",
            spread_cell(line.dense.spread("test_accuracy")) if line.dense else None,
            *_cells(line, line.best),
            *_cells(line, line.last),
        ]
        for line in lines
    ]
    note = Markup(
        "Mean ± sample standard deviation over n seeds. <em>As good as dense</em> is the sparsest level whose mean "
        "test accuracy is at most {} below the dense networks of its own experiment; accuracies of different "
        "networks or data sets do not compare."
    ).format(MARGIN)
    table = TablePanel("Results by experiment and branch", head, rows, left=("experiment", "network and data"))
    return Section("numbers", "Numbers", (Note(note), table))


def _cells(line: ComparedLine, group: Group | None) -> list[TableCell]:
    if group is None:
        return [None, None, None]
    spread = spread_cell(group.spread("test_accuracy"))
    return [text.remaining(group.remaining), spread, text.difference(line.gap(group))]


def _differences(experiments: Sequence[ComparedStudy]) -> Section:
    keys = differing(experiments)
    rows = [
        [
            one.label,
            str(one.study.summary.get("experiment") or text.NOTHING),
            code(one.folder.name),
            *(code(one.chosen[key]) if key in one.chosen else None for key in keys),
            "finished" if one.study.complete else "not finished",
        ]
        for one in experiments
    ]
    head = ["experiment", "kind", "folder", *map(code, keys), "state"]
    note = (
        "Options that not all of them set to the same; a dash is the default."
        if keys
        else "All options that they set are the same."
    )
    table = TablePanel("Options by experiment", head, rows, left=head)
    return Section("differences", "In what they differ", (Note(note), table))
