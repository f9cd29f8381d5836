"""Structured tickets: refill and regroup beside their controls."""

from jaxticket.experiments.structured.options import StructuredOptions
from jaxticket.lab.registry import Experiment

EXPERIMENT = Experiment(
    name="structured",
    title="Structurally sparse tickets",
    question="is a refilled or regrouped ticket better than its structure with other initial weights?",
    paper="Chen et al. (2022), arXiv 2202.04736",
    options=StructuredOptions,
    run="jaxticket.experiments.structured.experiment:structured",
    recipes="jaxticket.experiments.structured.recipes:apply_structured_recipe",
)
