"""Tickets found on one data set, trained on another."""

from jaxticket.experiments.transfer.options import TransferOptions
from jaxticket.lab.registry import Experiment
from jaxticket.lab.row import Column

EXPERIMENT = Experiment(
    name="transfer",
    title="Tickets on another data set",
    question="are tickets of one data set good on another, and better than random masks?",
    paper="Morcos et al. (2019), arXiv 1906.02773",
    options=TransferOptions,
    run="jaxticket.experiments.transfer.experiment:transfer",
    recipes="jaxticket.experiments.transfer.recipes:apply_transfer_recipe",
    columns=(Column("source", "source of the ticket", case=True),),
)
