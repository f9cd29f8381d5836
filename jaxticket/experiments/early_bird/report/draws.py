"""What drawing early is worth: accuracy against the epoch of the draw, and the operations of all training."""

from collections.abc import Sequence

from jaxticket.lab.row import Row, number
from jaxticket.report import Axis, Study, text, theme
from jaxticket.report.groups import Group, dense_group, group_rows
from jaxticket.report.panels import Level, Line, LinesPanel, Mark
from jaxticket.report.parts import Note, Panels, TablePanel, spread_cell
from jaxticket.report.points import points_by
from jaxticket.report.section import Part, Section, spread_note

# Tickets that kept the weights they were drawn from differ in the moment of the draw alone.
_INHERITED = ("eb_inherit", "late")
_MOST_RATIOS = 8


def draws_section(study: Study) -> Section | None:
    """A panel of accuracies against the epoch of the draw, and a table of what all training took."""
    if not any(number(row["training_flops_share"]) is not None for row in study.rows):
        return None
    groups = group_rows(study.rows)
    dense = dense_group(groups)
    sparse = [group for group in groups if group.branch != "dense"]
    rows = [
        [
            group.name,
            text.share(group.mean("ratio")),
            None if (epoch := group.mean("draw_epoch")) is None else f"{epoch:.3g}",
            spread_cell(group.spread("test_accuracy")),
            text.amount(group.mean("training_flops")),
            text.share(group.mean("training_flops_share")),
        ]
        for group in [*([dense] if dense else []), *sorted(sparse, key=lambda group: group.level)]
    ]
    head = ("branch", "pruned", "draw epoch", "test accuracy", "operations", "of dense training")
    parts: list[Part] = [Note(_TRAINING), TablePanel("Accuracy and training cost", head, rows)]
    points = _drawn(study.rows)
    if any(len(found) > 1 for found in points.values()):
        note = _WENT_ON.format(spread_note(any(group.n > 1 for group in groups)))
        parts = [Note(note), Panels([_draw_panel(points, dense)]), *parts]
    return Section("draws", "What drawing early costs and gives", parts, after="found")


_WENT_ON = (
    "Tickets that were trained on from the weights they were drawn from; the star marks the best epoch of each "
    "ratio, and the last one is that of pruning after training. {}"
)
_TRAINING = (
    "Training is all that led to a network: dense until the draw, without its channels or weights after it. Operations "
    "are those of the forward pass, two for each multiply-accumulate of products and convolutions, times three for the "
    "backward pass; dense training is 100%. Means over seeds."
)
Points = list[tuple[float, list[float]]]


def _drawn(rows: Sequence[Row]) -> dict[float, Points]:
    """Ratio -> (epoch of the draw, test accuracies there in percent), by epoch."""
    inherited = [row for row in rows if row.branch in _INHERITED or row.branch.startswith("draw_")]
    ratios = sorted({ratio for row in inherited if (ratio := number(row["ratio"])) is not None})
    found = {
        ratio: points_by(
            [row for row in inherited if row["ratio"] == ratio],
            lambda row: number(row["draw_epoch"]),
            lambda row: None if row.test_accuracy is None else 100 * row.test_accuracy,
        )
        for ratio in ratios
    }
    return {ratio: points for ratio, points in found.items() if points}


def _draw_panel(points: dict[float, Points], dense: Group | None) -> LinesPanel:
    lines, marks = [], []
    for i, (ratio, found) in enumerate(list(points.items())[:_MOST_RATIOS]):
        lines.append(Line(f"{text.share(ratio)} pruned", found, theme.series(i), theme.marker(i)))
        mean, epoch = max((sum(values) / len(values), -epoch) for epoch, values in found)
        marks.append(Mark(-epoch, mean, theme.series(i), "*", 13))
    reference = dense.mean("test_accuracy") if dense else None
    return LinesPanel(
        "draw_epochs",
        "Trained on from the draw",
        "Test accuracy of tickets with the weights they were drawn from, against the epoch of the draw",
        Axis("Epoch of the draw", "whole"),
        Axis("Test accuracy (%)"),
        lines=lines,
        marks=marks,
        levels=[] if reference is None else [Level(100 * reference, "dense")],
        small=False,
    )
