"""One-shot pruning of a trained network, and the ways to train on (Renda et al. 2020)."""

from jaxticket.analysis import Pair
from jaxticket.lab.channel_tickets import channel_facts, everything, pruned_to
from jaxticket.lab.lab import Lab
from jaxticket.lab.method_options import OneshotExperiment
from jaxticket.lab.network_slimming import check_scales
from jaxticket.lab.pretrained import dense_network


def oneshot(lab: Lab, options: OneshotExperiment) -> None:
    """Trains, prunes to each sparsity, and trains each sparse network from where `retrain` says.

    With `retrain='random'` that is the rewind point, and every ticket has a control beside it, `rr_omp`: its mask on
    other initial weights.
    """
    check_scales(lab, options.prune)
    per_epoch = lab.duration.steps_per_epoch
    rewind_step = options.rewind_epochs * per_epoch
    if options.retrain == "finetune" and not options.finetune_epochs:
        lab.remark("config.finetune_epochs=0: networks are pruned and evaluated, and not trained on")

    def one_seed(seed: int) -> None:
        full = everything(lab, options.prune)
        dense = dense_network(lab, options, full, seed=seed, rewind_step=rewind_step)
        weights, rewinds = dense.weights, options.retrain in ("rewind", "random")
        instead = "set config.retrain to 'full', 'lr_rewind' or 'finetune'"
        rewound = dense.at(rewind_step, instead=instead) if rewinds else weights
        for level, sparsity in enumerate(options.sparsities, start=1):
            mask = pruned_to(lab, weights, full, options.prune, seed=seed, sparsity=sparsity)
            if rewinds:
                start, start_step = rewound, rewind_step
            elif options.retrain in ("lr_rewind", "full"):
                start, start_step = weights, rewind_step
            else:
                start, start_step = weights, lab.duration.total_steps - options.finetune_epochs * per_epoch
            trained = lab.train(start, mask, seed=seed, label=f"omp-{level}-{seed}", start_step=start_step)
            facts = channel_facts(mask, options.prune)
            lab.record("omp", level, seed, trained, mask, start=start, pruned=weights, facts=facts)
            if options.retrain == "random":
                other = lab.reinit(seed, level)
                control = lab.train(other, mask, seed=seed, label=f"rr_omp-{level}-{seed}")
                lab.record("rr_omp", level, seed, control, mask, start=other, pruned=other, ticket=False)

    lab.for_each_seed(one_seed)
    lab.compare(Pair("omp", "rr_omp"), Pair("omp", "dense", control_level=0))
