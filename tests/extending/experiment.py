"""An experiment of one's own: a mask by magnitude, next to a random one with the same sparsity of each layer.

jaxticket run --config=tests/extending/experiment.py:model=lenet300,dataset=digits --workdir=runs
"""

import dataclasses

from jaxticket import experiments, report
from jaxticket.core.options import option
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.row import Column


@dataclasses.dataclass(frozen=True)
class RandomTwinOptions(ExperimentOptions):
    """A network pruned once by magnitude, and once at random with the same sparsity of each layer.

    Attributes:
        sparsity: of both.
        prune: scope, rules and granularity.
    """

    sparsity: float = option(0.8, above=0, below=1)
    prune: PruneOptions = PruneOptions(scope="layer")


def agreement(mask, other):
    """The share of the weights kept by `mask` that `other` keeps too."""
    both = sum(int((kept & other[path]).sum()) for path, kept in mask.items())
    return {"agreement": both / sum(int(kept.sum()) for kept in mask.values())}


def random_twin(lab, options):
    """Trains the dense network, prunes it both ways, and trains both from the initial weights."""

    def one_seed(seed):
        init, full = lab.init(seed), lab.full_mask(options.prune)
        dense = lab.train_row("dense", 0, seed, init, full)
        masks = {}
        for branch in ("magnitude", "random"):
            how = dataclasses.replace(options.prune, criterion=branch)
            masks[branch] = lab.prune(dense.weights, full, how, seed=seed, sparsity=options.sparsity)
            facts = lab.measure("agreement", agreement, mask=masks[branch], other=masks["magnitude"])
            lab.train_row(branch, 1, seed, init, masks[branch], pruned=dense.weights, facts=facts)

    lab.for_each_seed(one_seed)


def agreements(study):
    """The section of its report: a line for each mask; None before anything is pruned."""
    rows = [row for row in study.rows if row.level]
    cells = [[row.branch, str(row.seed), f"{row.extra['agreement']:.1%}"] for row in rows]
    table = report.TablePanel("Share of its weights that magnitude keeps too", ("mask", "seed", "agreement"), cells)
    return report.Section("agreement", "Agreement with magnitude", [table]) if rows else None


experiments.register(
    experiments.Experiment(
        name="random_twin",
        title="Random twins",
        question="how much better is a mask by magnitude than a random one of its layer sparsities?",
        options=RandomTwinOptions,
        run=random_twin,
        columns=(Column("agreement", "share kept by magnitude too", ".1%"),),
        sections=(agreements,),
    )
)


def get_config(argument=None):
    return experiments.recipe_config("random_twin", argument, seeds=(0, 1, 2))
