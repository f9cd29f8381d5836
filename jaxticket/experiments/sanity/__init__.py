"""Sanity checks: is a winning ticket really winning?"""

from jaxticket.experiments.sanity.options import SanityOptions
from jaxticket.lab.registry import Experiment

EXPERIMENT = Experiment(
    name="sanity",
    title="Sanity checks",
    question="does a ticket win because of its initial weights?",
    paper="Ma et al. (2021), arXiv 2107.00166",
    options=SanityOptions,
    run="jaxticket.experiments.sanity.experiment:sanity",
    recipes="jaxticket.experiments.sanity.recipes:apply_sanity_recipe",
)
