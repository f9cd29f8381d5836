"""Any mask trained better: aids of training, one by one."""

from jaxticket.experiments.tost.options import TostOptions
from jaxticket.lab.registry import Experiment
from jaxticket.lab.row import Column

EXPERIMENT = Experiment(
    name="tost",
    title="Sparse training with aids",
    question="which aids train a given mask better?",
    paper="Jaiswal et al. (2022), arXiv 2206.12755",
    options=TostOptions,
    run="jaxticket.experiments.tost.experiment:tost",
    recipes="jaxticket.experiments.tost.recipes:apply_tost_recipe",
    columns=(Column("aids", "aids", case=True),),
    sections=(
        "jaxticket.experiments.tost.report:aids_section",
        "jaxticket.report.sections.inactive_units:inactive_units_section",
    ),
)
