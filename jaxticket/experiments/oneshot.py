"""One-shot pruning of a trained network, and the three ways to train on (Renda et al. 2020)."""

from jaxticket.experiments.lab import Lab
from jaxticket.experiments.method_options import OneshotExperiment


def oneshot(lab: Lab, options: OneshotExperiment) -> None:
    """Trains, prunes to each sparsity, and trains each sparse network from where `retrain` says."""
    per_epoch = lab.duration.steps_per_epoch
    rewind_step = options.rewind_epochs * per_epoch

    def one_seed(seed: int) -> None:
        init = lab.init(seed)
        full = lab.full_mask(options.prune.rules)
        dense = lab.train(init, full, seed=seed, label=f"dense-0-{seed}", snapshot_step=rewind_step)
        lab.record("dense", 0, seed, dense, full, start=init)
        for level, sparsity in enumerate(options.sparsities, start=1):
            mask = lab.prune(dense.weights, full, options.prune, seed=seed, sparsity=sparsity)
            if options.retrain == "rewind":
                start, start_step = dense.snapshot if rewind_step else init, rewind_step
            elif options.retrain == "lr_rewind":
                start, start_step = dense.weights, rewind_step
            else:
                start, start_step = dense.weights, lab.duration.total_steps - options.finetune_epochs * per_epoch
            trained = lab.train(start, mask, seed=seed, label=f"omp-{level}-{seed}", start_step=start_step)
            lab.record("omp", level, seed, trained, mask, start=start)

    lab.for_each_seed(one_seed)
