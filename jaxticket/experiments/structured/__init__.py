"""Structured tickets: refill and regroup next to their controls."""

from jaxticket.experiments.structured.options import StructuredOptions
from jaxticket.lab.registry import Experiment
from jaxticket.lab.row import Column

EXPERIMENT = Experiment(
    name="structured",
    title="Structurally sparse tickets",
    question="is a refilled or regrouped ticket better than its structure with other initial weights?",
    paper="Chen et al. (2022), arXiv 2202.04736",
    options=StructuredOptions,
    run="jaxticket.experiments.structured.experiment:structured",
    recipes="jaxticket.experiments.structured.recipes:apply_structured_recipe",
    columns=(
        Column("macs", "multiply-accumulates", ",.0f"),
        Column("macs_dense", "multiply-accumulates of dense", ",.0f"),
        Column("parameters_shrunk", "parameters when cut out", ",.0f"),
        Column("structured_share", "share in structured layers", ".1%"),
    ),
    sections=(
        "jaxticket.experiments.structured.report.winners:structured_winners_section",
        "jaxticket.experiments.structured.report.accuracy:structured_accuracy_section",
        "jaxticket.experiments.structured.report.accuracy:controls_section",
        "jaxticket.experiments.structured.report.winners:structured_costs_section",
        "jaxticket.experiments.structured.report.layers:structure_section",
        "jaxticket.experiments.structured.report.masks:heatmaps_section",
    ),
)
