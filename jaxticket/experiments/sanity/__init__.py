"""Sanity checks: is a winning ticket really winning?"""

from jaxticket.experiments.sanity.options import SanityOptions
from jaxticket.lab.registry import Experiment
from jaxticket.lab.row import Column

EXPERIMENT = Experiment(
    name="sanity",
    title="Sanity checks",
    question="does a ticket win because of its initial weights?",
    paper="Ma et al. (2021), arXiv 2107.00166",
    options=SanityOptions,
    run="jaxticket.experiments.sanity.experiment:sanity",
    recipes="jaxticket.experiments.sanity.recipes:apply_sanity_recipe",
    columns=(Column("lr", "learning rate", case=True), Column("parameters", "parameters", ",.0f")),
    sections=(
        "jaxticket.experiments.sanity.report.verdict:verdict_section",
        "jaxticket.experiments.sanity.report.accuracy:rates_section",
        "jaxticket.experiments.sanity.report.accuracy:rounds_section",
        "jaxticket.experiments.sanity.report.correlation:correlation_section",
        "jaxticket.experiments.sanity.report.instability:instability_section",
        "jaxticket.experiments.sanity.report.overlap:overlap_section",
    ),
)
