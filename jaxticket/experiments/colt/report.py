"""How masks of class partitions overlap, and how fast that prunes: the figures of cyclic overlapping tickets."""

import dataclasses
from collections.abc import Mapping

from markupsafe import Markup

from jaxticket.analysis import Comparison
from jaxticket.lab.row import number
from jaxticket.report import Axis, Level, Line, LinesPanel, Study, text, theme
from jaxticket.report.comparisons import comparisons, find_comparison
from jaxticket.report.groups import Group, group_rows
from jaxticket.report.parts import Collapsible, Note, Panels, TableCell, TablePanel
from jaxticket.report.points import lines_by, mean_points, points_by
from jaxticket.report.section import Part, Section, spread_note

# Random masks have COLT's own rounds, and no line of their own.
_SERIES = {"COLT": "colt", "LTH": "lth", "LTH at COLT's sparsities": "lth_matched"}
_CONTROLS = {"lth_matched": "LTH at COLT's sparsities", "lth": "LTH at its own rate", "random": "random masks"}
_NUMBERS = ("overlap", "overlap_by_chance", "kept_expected", "kept_measured")


@dataclasses.dataclass(frozen=True)
class Agreement:
    """What the parts of a round agreed on: the share of what one removes that another removes too, of all and by layer.

    Layers that lost nothing are left out; kept shares are of the weights alive before.
    """

    seed: int
    level: int
    overlap: float | None = None
    overlap_by_chance: float | None = None
    kept_expected: float | None = None
    kept_measured: float | None = None
    layers: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Reached:
    """In which round a series first reached a sparsity, means over n seeds."""

    sparsity: float
    branch: str
    n: int
    rounds: float
    test_accuracy: float | None


def partitions_section(study: Study) -> Section | None:
    """Weights remaining, overlap and the parts' accuracy by round, and the rounds to a sparsity."""
    groups = group_rows(study.rows)
    parts = [group for group in groups if "part" in group.case]
    if not parts:
        return None
    found, reached = study.records("colt_rounds", Agreement), study.records("colt", Reached)
    known = [entry for entry in found if entry.overlap is not None]
    panels = [_remaining(groups, parts[0].case), *([_overlap(known, break_even(study))] if known else [])]
    note = (
        "All parts train the same masked initial weights, each prunes its own result, and only what all of them keep "
        "is kept. The less they agree on what is removed, the faster that prunes. "
        f"{spread_note(any(g.n > 1 for g in groups))}"
    )
    content: list[Part] = [Note(note), Panels([*panels, _accuracies(parts)])]
    if reached:
        content += [_by_sparsity(reached, comparisons(study)), Note(_RACE)]
    if known:
        content.append(_fold(known))
    lines: list[tuple[object, ...]] = []
    for one in found:
        lines.append((one.seed, one.level, "", *(getattr(one, name) for name in _NUMBERS)))
        lines += [(one.seed, one.level, path, value, None, None, None) for path, value in one.layers.items()]
    names = ("overlap", "by_chance", "kept_expected", "kept_measured")
    columns = tuple(field.name for field in dataclasses.fields(Reached))
    tables = {
        "agreement": [("seed", "level", "layer", *names), *lines],
        "rounds": [columns, *(dataclasses.astuple(one) for one in reached)],
    }
    return Section("partitions", "Rounds and overlap", content, tables, after="accuracy")


_RACE = Markup(
    "The first round that is at least as sparse, and the mean test accuracy of its tickets on all classes; a "
    "sparsity counts if every seed reaches it. Fewer rounds than LTH at its own rate say how fast each prunes; what "
    "the parts find is told by LTH at COLT's sparsities, which prunes as much in every round, and by random masks. "
    "Differences are paired by seed, with their intervals taken alone; those not marked <em>settled</em> are not, "
    "after correction for all comparisons."
)


def break_even(study: Study) -> float | None:
    """The overlap at which two parts prune as fast as LTH, `2 - p_lth / p`; None unless each has a single rate."""
    config = study.config.get("config")
    if not isinstance(config, Mapping) or config.get("partitions") != 2 or not config.get("lth"):
        return None
    rates = {number(rate) for _, rate in config.get("rates", ()) if rate}
    lth_rates = {number(rate) for _, rate in config.get("lth_rates", ()) if rate}
    if len(rates) != 1 or len(lth_rates) != 1:
        return None
    (rate,), (lth_rate,) = rates, lth_rates
    return 2 - lth_rate / rate if rate and lth_rate else None


def _by_sparsity(reached: list[Reached], differences: list[Comparison]) -> TablePanel:
    """For each sparsity what COLT needed to reach it, what its controls did, and how it differs from them."""
    found = {(entry.sparsity, entry.branch): entry for entry in reached}
    controls = {name: words for name, words in _CONTROLS.items() if any(entry.branch == name for entry in reached)}
    head = ["sparsity", "COLT, rounds", "accuracy there"]
    for words in controls.values():
        head += [f"{words}, rounds", "accuracy there", "COLT minus it, points"]
    rows = []
    for sparsity in sorted({entry.sparsity for entry in reached}):
        row = [text.share(sparsity), *_reached(found.get((sparsity, "colt")))]
        for name in controls:
            difference = find_comparison(differences, "colt", name, case={"sparsity": sparsity})
            row += [*_reached(found.get((sparsity, name))), _difference(difference)]
        rows.append(row)
    return TablePanel("Rounds to a sparsity", head, rows, left=())


def _reached(one: Reached | None) -> list[TableCell]:
    return [None, None] if one is None else [f"{one.rounds:.3g}", text.accuracy_text(one.test_accuracy)]


def _difference(one: Comparison | None) -> TableCell:
    if one is None:
        return None
    interval = "" if one.low is None else f" ({text.interval_points(one.low, one.high)})"
    return text.points(one.mean) + interval + (", settled" if one.settled else "")


def _fold(known: list[Agreement]) -> Collapsible:
    """The overlap and what it lets expect, by round, means over the seeds."""
    rows = []
    for level in sorted({one.level for one in known}):
        own = [[getattr(one, name) for one in known if one.level == level] for name in _NUMBERS]
        values = [[value for value in column if value is not None] for column in own]
        rows.append([f"{level}", *(f"{sum(column) / len(column):.4f}" if column else None for column in values)])
    head = ("round", "overlap", "by chance", "kept, expected", "kept, measured")
    note = "Of two parts that each remove a share p, what both keep is 1 \N{MINUS SIGN} p (2 \N{MINUS SIGN} overlap)."
    return Collapsible(
        "Overlap, and what it lets expect", [TablePanel("Overlap by round", head, rows, left=()), Note(note)]
    )


def _remaining(groups: list[Group], first: Mapping[str, float]) -> LinesPanel:
    """Weights remaining by round; where tickets were not trained on all classes, the first part stands for COLT."""
    evaluated = any(group.branch == "colt" for group in groups)
    lines = []
    for i, (name, branch) in enumerate(_SERIES.items()):
        branch = "colt_part" if branch == "colt" and not evaluated else branch
        own = [group for group in groups if group.branch == branch and group.case in ({}, first) and group.remaining]
        points = [(group.level, [100 * row.remaining for row in group.rows]) for group in own]
        if points:
            start = [] if points[0][0] == 0 else [(0, [100.0])]
            lines.append(Line(name, start + points, theme.series(i), theme.MARKERS[i]))
    return LinesPanel(
        "rounds",
        "Weights remaining",
        f"Percentage of prunable weights remaining by round, for {' and '.join(line.label for line in lines)}",
        Axis("Round", "whole"),
        Axis("Prunable weights remaining (%)", "log", include=(100,)),
        lines=lines,
    )


def _overlap(known: list[Agreement], even: float | None) -> LinesPanel:
    measured = points_by(known, lambda one: one.level, lambda one: one.overlap)
    chance = mean_points(points_by(known, lambda one: one.level, lambda one: one.overlap_by_chance))
    said = ", ".join(f"{value:.2f}" for _, value in mean_points(measured))
    levels = [Level(even, "as fast as LTH", style=theme.DOTTED)] if even is not None and 0 <= even <= 1 else []
    return LinesPanel(
        "overlap",
        "Overlap of what the parts remove",
        f"Overlap of what the parts remove, by round: {said}",
        Axis("Round", "whole"),
        Axis("Overlap q", low=0, high=1.02),
        lines=[
            Line("measured", measured, theme.series(0)),
            Line("chance", chance, theme.light("muted"), "", theme.DASHED, width=1.2),
        ],
        levels=levels,
    )


def _accuracies(parts: list[Group]) -> LinesPanel:
    rows = [row for group in sorted(parts, key=lambda group: group.case["part"]) for row in group.rows]
    lines = lines_by(
        rows, lambda row: row.level, lambda row: row.test_accuracy, lambda row: f"part {row.numbers['part']:g}"
    )
    return LinesPanel(
        "parts",
        "Test accuracy of the parts",
        f"Test accuracy on the classes of each of {len(lines)} parts by round",
        Axis("Round", "whole"),
        Axis("Test accuracy on the part's classes"),
        lines=lines,
    )
