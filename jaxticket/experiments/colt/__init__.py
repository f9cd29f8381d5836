"""Cyclic overlapping lottery tickets."""

from jaxticket.experiments.colt.options import ColtOptions
from jaxticket.lab.registry import Experiment

EXPERIMENT = Experiment(
    name="colt",
    title="Cyclic overlapping lottery tickets",
    question="do masks on which parts of the classes agree need fewer rounds?",
    paper="Hossain et al. (2022), arXiv 2212.12770",
    options=ColtOptions,
    run="jaxticket.experiments.colt.experiment:colt",
    recipes="jaxticket.experiments.colt.recipes:apply_colt_recipe",
)
