"""Dynamic sparse training: SET (Mocanu et al. 2018), RigL (Evci et al. 2020), and a static random mask."""

from jaxticket.analysis import Pair
from jaxticket.lab.lab import Lab
from jaxticket.lab.method_options import DynamicExperiment
from jaxticket.training.mask_updates import Regrowth

_GROWTH = {"set": "random", "rigl": "gradient"}


def dynamic(lab: Lab, options: DynamicExperiment) -> None:
    """Trains from random masks, all methods from the same one, and lets them move while they train."""
    end = round(options.end * lab.duration.total_steps)

    def one_seed(seed: int) -> None:
        init = lab.init(seed)
        full = lab.full_mask(options.prune.prunable)
        if options.dense:
            dense = lab.train(init, full, seed=seed, label=f"dense-0-{seed}")
            lab.record("dense", 0, seed, dense, full, start=init)
        for level, sparsity in enumerate(options.sparsities, start=1):
            first = lab.prune(init, full, options.prune, seed=seed, sparsity=sparsity)
            for method in options.methods:
                label = f"{method}-{level}-{seed}"
                if method == "static":
                    trained, mask = lab.train(init, first, seed=seed, label=label), first
                else:
                    growth = Regrowth(_GROWTH[method], options.every_steps, end, options.rate)
                    trained = lab.train(init, first, seed=seed, label=label, mask_update=growth)
                    mask = trained.mask
                # A mask that moves while it is trained has no weights that were pruned to it.
                pruned = init if method == "static" else None
                lab.record(method, level, seed, trained, mask, start=init, pruned=pruned)

    lab.for_each_seed(one_seed)
    lab.compare(
        *(Pair(method, "static") for method in options.methods if method != "static"),
        *(Pair(method, "dense", control_level=0) for method in options.methods),
    )
