"""Gradual magnitude pruning (Zhu and Gupta 2018)."""

from jaxticket.analysis import Pair
from jaxticket.lab.lab import Lab
from jaxticket.lab.method_options import GradualExperiment
from jaxticket.training.mask_updates import GradualPruning


def gradual(lab: Lab, options: GradualExperiment) -> None:
    """Trains once for each sparsity, pruning on the way along a cubic."""
    total, every = lab.duration.total_steps, options.every_steps
    start = round(options.begin * total)
    # Whole intervals, so that the last pruning is one to the sparsity asked for.
    most = max(1, (total - start) // every)
    end = start + min(most, max(1, round((options.end * total - start) / every))) * every

    def one_seed(seed: int) -> None:
        init = lab.init(seed)
        full = lab.full_mask(options.prune.prunable)
        if options.dense:
            dense = lab.train(init, full, seed=seed, label=f"dense-0-{seed}")
            lab.record("dense", 0, seed, dense, full, start=init)
        for level, sparsity in enumerate(options.sparsities, start=1):
            pruning = GradualPruning(start, end, every, sparsity, scope=options.prune.scope)
            trained = lab.train(init, full, seed=seed, label=f"gmp-{level}-{seed}", mask_update=pruning)
            lab.record("gmp", level, seed, trained, trained.mask, start=init)

    lab.for_each_seed(one_seed)
    lab.compare(Pair("gmp", "dense", control_level=0))
