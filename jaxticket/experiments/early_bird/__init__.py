"""Early-bird tickets, drawn while the network trains."""

from jaxticket.experiments.early_bird.options import EarlyBirdOptions
from jaxticket.lab.registry import Experiment
from jaxticket.lab.row import Column

EXPERIMENT = Experiment(
    name="early_bird",
    title="Early-bird tickets",
    question="how early does the mask of a training network settle, and how good is the ticket drawn then?",
    paper="You et al. (2020), arXiv 1909.11957",
    options=EarlyBirdOptions,
    run="jaxticket.experiments.early_bird.experiment:early_bird",
    recipes="jaxticket.experiments.early_bird.recipes:apply_early_bird_recipe",
    columns=(
        Column("ratio", "share removed", ".1%"),
        Column("draw_epoch", "epoch of the draw", "g"),
        Column("macs", "multiply-accumulates", ",.0f"),
        Column("macs_dense", "multiply-accumulates of dense", ",.0f"),
        Column("parameters_shrunk", "parameters when cut out", ",.0f"),
        Column("training_flops", "operations of training", ".3g"),
        Column("training_flops_share", "operations over dense training", ".1%"),
    ),
    sections=(
        "jaxticket.experiments.early_bird.report.emergence:emergence_section",
        "jaxticket.experiments.early_bird.report.draws:draws_section",
        "jaxticket.experiments.early_bird.report.channels:kept_channels_section",
    ),
)
