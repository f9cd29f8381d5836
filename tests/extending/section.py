"""A section of one's own in the report of every experiment: how dense each layer is.

jaxticket run --config=tests/extending/section.py --workdir=runs
"""

from jaxticket import report
from jaxticket.experiments import default_config


def by_layer(study):
    """A line for each branch over the layers, and the same as a table; None without a pruned network."""
    rows = [row for row in study.rows if row.sparsity > 0]
    if not rows:
        return None
    kept = [(row.branch, i, 100 - 100 * gone) for row in rows for i, gone in enumerate(row.layer_sparsity.values(), 1)]
    panel = report.LinesPanel(
        "by_layer",
        "Weights kept",
        "Share of its weights that each layer keeps, a line for each branch",
        report.Axis("Layer", "whole"),
        report.Axis("Weights kept (%)", low=0),
        lines=report.lines_by(kept, x=lambda one: one[1], y=lambda one: one[2], by=lambda one: one[0]),
    )
    cells = [[row.branch, *(f"{1 - gone:.1%}" for gone in row.layer_sparsity.values())] for row in rows]
    table = report.TablePanel("Weights kept by layer", ("branch", *rows[0].layer_sparsity), cells)
    parts = [report.Note("From input to output."), report.Panels([panel]), table]
    return report.Section("by_layer", "Layer by layer", parts)


report.register_section("by_layer", by_layer)


def get_config():
    config = default_config("imp")
    config.levels = 1
    config.train.epochs = 1
    return config
