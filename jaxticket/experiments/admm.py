"""Pruning by ADMM (Zhang et al. 2018), the alternating direction method of multipliers."""

import dataclasses

from jaxticket.analysis import Pair
from jaxticket.lab.lab import Lab
from jaxticket.lab.method_options import AdmmExperiment
from jaxticket.training.mask_updates import Admm


def admm(lab: Lab, options: AdmmExperiment) -> None:
    """Trains, draws the weights towards their pruned copy, prunes, and trains what is left from there."""
    how = options.admm
    drawing = dataclasses.replace(
        options.train,
        epochs=how.epochs,
        steps=0,
        lr=how.lr,
        schedule="milestones",
        milestones=(1 / 3, 2 / 3),
        gamma=0.1,
        warmup_epochs=0.0,
        warmup_steps=0,
        save_epochs=(),
        lr_every="step",
        eval_epochs=min(options.train.eval_epochs, how.epochs),
        patience=0,
    )
    every = how.every_epochs * lab.duration.steps_per_epoch

    def one_seed(seed: int) -> None:
        init = lab.init(seed)
        full = lab.full_mask(options.prune.prunable)
        dense = lab.train(init, full, seed=seed, label=f"dense-0-{seed}")
        lab.record("dense", 0, seed, dense, full, start=init)
        for level, sparsity in enumerate(options.sparsities, start=1):
            rule = Admm(every, how.rho, sparsity, options.prune.scope)
            drawn = lab.train(
                dense.weights, full, seed=seed, label=f"drawn-{level}-{seed}", mask_update=rule, train=drawing
            )
            mask = lab.prune(drawn.weights, full, options.prune, seed=seed, sparsity=sparsity)
            trained = lab.train(drawn.weights, mask, seed=seed, label=f"admm-{level}-{seed}")
            lab.record("admm", level, seed, trained, mask, start=drawn.weights, pruned=drawn.weights)

    lab.for_each_seed(one_seed)
    lab.compare(Pair("admm", "dense", control_level=0))
