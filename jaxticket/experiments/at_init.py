"""Pruning before training: random, magnitude, SNIP, GraSP, SynFlow (Frankle et al. 2021 compare them)."""

import dataclasses
from typing import TYPE_CHECKING

from jaxticket.analysis import Pair
from jaxticket.core.criteria import criteria_of_initial_weights
from jaxticket.core.options import option
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.registry import Experiment

if TYPE_CHECKING:
    from jaxticket.lab.lab import Lab


@dataclasses.dataclass(frozen=True)
class AtInitOptions(ExperimentOptions):
    """Networks pruned before they are trained.

    Attributes:
        methods: criteria, each a branch of the rows.
        sparsities: increasing; level k of the rows is the k-th.
        prune: options of the pruning; its criterion and rate are not used.
        dense: whether to train the dense network too, as level 0.
    """

    methods: tuple[str, ...] = option(
        ("random", "magnitude", "snip", "grasp", "synflow"),
        choices=criteria_of_initial_weights,
        nonempty=True,
        unique=True,
    )
    sparsities: tuple[float, ...] = option((0.5, 0.9), above=0, below=1, nonempty=True, increasing=True)
    prune: PruneOptions = PruneOptions()
    dense: bool = option(True)


def at_init(lab: "Lab", options: AtInitOptions) -> None:
    """Scores the initial weights, prunes once to each sparsity, and trains what is left."""

    def one_seed(seed: int) -> None:
        init = lab.init(seed)
        full = lab.full_mask(options.prune)
        if options.dense:
            lab.train_row("dense", 0, seed, init, full)
        for method in options.methods:
            how = dataclasses.replace(options.prune, criterion=method)
            for level, sparsity in enumerate(options.sparsities, start=1):
                mask = lab.prune(init, full, how, seed=seed, sparsity=sparsity)
                lab.train_row(method, level, seed, init, mask, pruned=init)

    lab.for_each_seed(one_seed)
    lab.recorder.compare(
        *(Pair(method, "random") for method in options.methods if method != "random"),
        *(Pair(method, "dense", control_level=0) for method in options.methods),
    )


EXPERIMENT = Experiment(
    name="at_init",
    title="Pruning at initialisation",
    question="which criterion finds a good mask before training?",
    paper="Frankle et al. (2021), arXiv 2009.08576",
    options=AtInitOptions,
    run="jaxticket.experiments.at_init:at_init",
)
