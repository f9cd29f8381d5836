"""Early-bird tickets, drawn while the network trains."""

from jaxticket.experiments.early_bird.options import EarlyBirdOptions
from jaxticket.lab.registry import Experiment

EXPERIMENT = Experiment(
    name="early_bird",
    title="Early-bird tickets",
    question="how early does the mask of a training network settle, and how good is the ticket drawn then?",
    paper="You et al. (2020), arXiv 1909.11957",
    options=EarlyBirdOptions,
    run="jaxticket.experiments.early_bird.experiment:early_bird",
    recipes="jaxticket.experiments.early_bird.recipes:apply_early_bird_recipe",
)
