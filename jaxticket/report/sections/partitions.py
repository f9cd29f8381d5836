"""How masks of class partitions overlap, and how fast that prunes: the figures of cyclic overlapping tickets."""

import itertools
from typing import TYPE_CHECKING

from jaxticket.report import text, theme
from jaxticket.report.axes import legend_below, paint_spread, set_log_axis, set_whole_axis
from jaxticket.report.compared import Comparison, comparisons, find
from jaxticket.report.figures import Figure, draw
from jaxticket.report.groups import Group, group_rows
from jaxticket.report.partitions import Agreement, Reached, agreements, break_even, reached
from jaxticket.report.sections.section import Section, render, spread_note
from jaxticket.report.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Random masks have COLT's own rounds, and no line of their own.
_SERIES = {"COLT": "colt", "LTH": "lth", "LTH at COLT's sparsities": "lth_matched"}
_CONTROLS = {"lth_matched": "LTH at COLT's sparsities", "lth": "LTH at its own rate", "random": "random masks"}


def partitions(study: Study) -> Section | None:
    """Weights remaining, overlap and the parts' accuracy by round, and the rounds to a sparsity."""
    groups = group_rows(study.rows)
    parts = [group for group in groups if "part" in group.case]
    if not parts:
        return None
    evaluated = any(group.branch == "colt" for group in groups)
    colt = "colt" if evaluated else "colt_part"
    first = parts[0].case
    series = {
        name: [
            group
            for group in groups
            if group.branch == (colt if branch == "colt" else branch) and (not group.case or group.case == first)
        ]
        for name, branch in _SERIES.items()
    }
    figures = [_remaining({name: found for name, found in series.items() if found})]
    found = [entry for entry in agreements(study) if entry.overlap is not None]
    if found:
        figures.append(_overlap(found, break_even(study)))
    figures.append(_accuracies(parts))
    many = any(group.n > 1 for group in groups)
    controls, by_sparsity = _by_sparsity(reached(study), comparisons(study))
    html = render(
        "partitions.html.jinja",
        figures=figures,
        note=spread_note(many),
        controls=controls,
        rounds=by_sparsity,
        agreements=_means(found),
        percent=text.share,
    )
    return Section("partitions", "Rounds and overlap", html, tuple(figures))


def _by_sparsity(
    found: list[Reached], differences: list[Comparison]
) -> tuple[list[str], list[tuple[float, Reached | None, list[tuple[Reached | None, Comparison | None]]]]]:
    """The controls there are; and for each sparsity what COLT needed to reach it, what they did, and how it differs."""
    by_branch = {(entry.sparsity, entry.branch): entry for entry in found}
    controls = [branch for branch in _CONTROLS if any(entry.branch == branch for entry in found)]
    lines = []
    for sparsity in sorted({entry.sparsity for entry in found}):
        others = [
            (by_branch.get((sparsity, branch)), find(differences, "colt", branch, case={"sparsity": sparsity}))
            for branch in controls
        ]
        lines.append((sparsity, by_branch.get((sparsity, "colt")), others))
    return [_CONTROLS[branch] for branch in controls], lines


def _means(found: list[Agreement]) -> list[tuple[int, dict[str, float | None]]]:
    """By round, means over the seeds."""
    names = ("overlap", "by_chance", "kept_expected", "kept_measured")
    lines = []
    for level, entries in itertools.groupby(sorted(found, key=lambda entry: entry.level), lambda entry: entry.level):
        entries = list(entries)
        known = {name: [v for entry in entries if (v := getattr(entry, name)) is not None] for name in names}
        lines.append((level, {name: sum(values) / len(values) if values else None for name, values in known.items()}))
    return lines


def _remaining(series: dict[str, list[Group]]) -> Figure:
    def paint(axes: "Axes") -> None:
        shares = [100.0]
        for i, (name, found) in enumerate(series.items()):
            points = [(group.level, [100 * row.remaining for row in group.rows]) for group in found if group.remaining]
            points = points if points and points[0][0] == 0 else [(0, [100.0]), *points]
            shares += [share for _, values in points for share in values if share > 0]
            paint_spread(axes, points, colour=theme.series(i), marker=theme.MARKERS[i], label=name)
        set_log_axis(axes, "y", min(shares), 100.0)
        set_whole_axis(axes)
        axes.set_title("Weights remaining")
        axes.set_xlabel("Round")
        axes.set_ylabel("Prunable weights remaining (%)")
        legend_below(axes)

    return draw(
        "rounds", f"Percentage of prunable weights remaining by round, for {' and '.join(series)}", paint, small=True
    )


def _overlap(found: list[Agreement], even: float | None) -> Figure:
    levels = sorted({entry.level for entry in found})

    def by_level(name: str) -> list[tuple[float, list[float]]]:
        values = {level: [getattr(entry, name) for entry in found if entry.level == level] for level in levels}
        return [(level, [value for value in some if value is not None]) for level, some in values.items()]

    def paint(axes: "Axes") -> None:
        paint_spread(axes, by_level("overlap"), colour=theme.series(0), label="measured")
        chance = [(level, sum(values) / len(values)) for level, values in by_level("by_chance") if values]
        if chance:
            colour = theme.light("muted")
            axes.plot(*zip(*chance, strict=True), color=colour, linestyle=(0, (4, 2.5)), linewidth=1.2, label="chance")
        if even is not None and 0 <= even <= 1:
            colour = theme.light("dense")
            axes.axhline(even, color=colour, linestyle=(0, (1, 2)), linewidth=1.4, label="as fast as LTH")
        set_whole_axis(axes)
        axes.set_ylim(0, 1.02)
        axes.set_title("Overlap of what the parts remove")
        axes.set_xlabel("Round")
        axes.set_ylabel("Overlap q")
        legend_below(axes)

    said = ", ".join(f"{sum(values) / len(values):.2f}" for _, values in by_level("overlap") if values)
    return draw("overlap", f"Overlap of what the parts remove, by round: {said}", paint, small=True)


def _accuracies(parts: list[Group]) -> Figure:
    numbers = sorted({group.case["part"] for group in parts})

    def paint(axes: "Axes") -> None:
        for i, number in enumerate(numbers):
            points = [
                (group.level, group.spread("test_accuracy").values) for group in parts if group.case["part"] == number
            ]
            look = {"colour": theme.series(i), "marker": theme.marker(i)}
            paint_spread(axes, points, **look, label=f"part {number:g}")
        set_whole_axis(axes)
        axes.set_title("Test accuracy of the parts")
        axes.set_xlabel("Round")
        axes.set_ylabel("Test accuracy on the part's classes")
        legend_below(axes)

    return draw("parts", f"Test accuracy on the classes of each of {len(numbers)} parts by round", paint, small=True)
