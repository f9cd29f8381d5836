"""Iterative magnitude pruning with rewinding (Frankle & Carbin 2019, strategy 2; Frankle et al. 2020)."""

from jaxticket.analysis import Pair
from jaxticket.core.schedules import exponential
from jaxticket.lab.channel_tickets import channel_facts, everything, pruned_to
from jaxticket.lab.lab import Lab
from jaxticket.lab.network_slimming import check_scales
from jaxticket.lab.options import ImpExperiment
from jaxticket.lab.pretrained import dense_network
from jaxticket.lab.stages.references import MaskRef, WeightsRef


def imp(lab: Lab, options: ImpExperiment) -> None:
    """Trains, prunes the smallest survivors, rewinds and trains again, once for every seed.

    Level 0 is the dense network. The ticket of a level is its mask with the weights its training starts from. With
    `reinit='random'` every ticket has a control beside it, `rr_imp`: its mask on other initial weights.
    """
    check_scales(lab, options.prune)

    def one_seed(seed: int) -> None:
        mask = everything(lab, options.prune)
        rewind_step = options.rewind_steps or options.rewind_epochs * lab.duration.steps_per_epoch
        dense = dense_network(lab, options, mask, seed=seed, rewind_step=rewind_step)
        weights = dense.weights
        rewinds = options.reinit != "none" and options.reinit_masks == "ticket"
        rewound = dense.at(rewind_step, instead="set config.reinit='none'") if rewinds else weights
        start_step = rewind_step if options.retrain == "remaining" else 0

        def control(level: int, mask: MaskRef) -> WeightsRef:
            """Trains a mask from other initial weights, by the full schedule."""
            other = lab.reinit(seed, level)
            trained = lab.train(other, mask, seed=seed, label=f"rr_imp-{level}-{seed}")
            lab.record("rr_imp", level, seed, trained, mask, start=other, pruned=other, ticket=False)
            return trained.weights

        for level in range(1, options.levels + 1):
            reached = float(exponential(options.sparsity, options.levels)(level)) if options.sparsity else None
            mask = pruned_to(lab, weights, mask, options.prune, seed=seed, sparsity=reached, level=level)
            if options.reinit_masks == "own":
                weights = control(level, mask)
                continue
            start = rewound if rewinds else weights
            trained = lab.train(start, mask, seed=seed, label=f"imp-{level}-{seed}", start_step=start_step)
            facts = channel_facts(mask, options.prune)
            lab.record("imp", level, seed, trained, mask, start=start, pruned=weights, facts=facts)
            weights = trained.weights
            if options.reinit == "random" and (not options.train_levels or level in options.train_levels):
                control(level, mask)

    lab.for_each_seed(one_seed)
    lab.compare(Pair("imp", "rr_imp"), Pair("imp", "dense", control_level=0))
