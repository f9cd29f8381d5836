"""Pruning before training: random, magnitude, SNIP, GraSP, SynFlow (Frankle et al. 2021 compare them)."""

import dataclasses

from jaxticket.analysis import Pair
from jaxticket.lab.lab import Lab
from jaxticket.lab.method_options import AtInitExperiment


def at_init(lab: Lab, options: AtInitExperiment) -> None:
    """Scores the initial weights, prunes once to each sparsity, and trains what is left."""

    def one_seed(seed: int) -> None:
        init = lab.init(seed)
        full = lab.full_mask(options.prune.prunable)
        if options.dense:
            dense = lab.train(init, full, seed=seed, label=f"dense-0-{seed}")
            lab.record("dense", 0, seed, dense, full, start=init)
        for method in options.methods:
            how = dataclasses.replace(options.prune, criterion=method)
            for level, sparsity in enumerate(options.sparsities, start=1):
                mask = lab.prune(init, full, how, seed=seed, sparsity=sparsity)
                trained = lab.train(init, mask, seed=seed, label=f"{method}-{level}-{seed}")
                lab.record(method, level, seed, trained, mask, start=init, pruned=init)

    lab.for_each_seed(one_seed)
    lab.compare(
        *(Pair(method, "random") for method in options.methods if method != "random"),
        *(Pair(method, "dense", control_level=0) for method in options.methods),
    )
