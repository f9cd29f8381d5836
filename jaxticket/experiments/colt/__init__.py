"""Cyclic overlapping lottery tickets."""

from jaxticket.experiments.colt.options import ColtOptions
from jaxticket.lab.registry import Experiment
from jaxticket.lab.row import Column

EXPERIMENT = Experiment(
    name="colt",
    title="Cyclic overlapping lottery tickets",
    question="do masks on which parts of the classes agree need fewer rounds?",
    paper="Hossain et al. (2022), arXiv 2212.12770",
    options=ColtOptions,
    run="jaxticket.experiments.colt.experiment:colt",
    recipes="jaxticket.experiments.colt.recipes:apply_colt_recipe",
    columns=(
        Column("part", "part", case=True),
        Column("overlap", "overlap", ".4f"),
        Column("overlap_by_chance", "overlap by chance", ".4f"),
        Column("kept_expected", "kept, expected", ".4f"),
        Column("kept_measured", "kept, measured", ".4f"),
    ),
    sections=("jaxticket.experiments.colt.report:partitions_section",),
)
