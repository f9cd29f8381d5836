"""One-shot pruning of a trained network, and the ways to train on (Renda et al. 2020)."""

import dataclasses
from typing import TYPE_CHECKING

from jaxticket.analysis import Pair
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.lab.options import ExperimentOptions, check_loaded
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.registry import Experiment
from jaxticket.lab.row import Column

if TYPE_CHECKING:
    from jaxticket.lab.lab import Lab


@dataclasses.dataclass(frozen=True)
class OneshotOptions(ExperimentOptions):
    """A trained network pruned once, to each of some sparsities, and trained again.

    Attributes:
        sparsities: increasing; level k of the rows is the k-th, level 0 the dense network.
        prune: what is ranked; its rate is not used.
        retrain: from the weights of the rewind point (`rewind`), from the trained weights with the learning rates from
            the rewind point on (`lr_rewind`), with the whole schedule (`full`), or with that of the last epochs
            (`finetune`).
            `random` is `rewind` with a control next to each ticket, the branch `rr_omp`: its mask on other initial
            weights, a fresh draw for each sparsity, trained by the full schedule.
        rewind_epochs: the epoch to rewind to; 0 is the start.
        finetune_epochs: epochs of `finetune`; with 0 networks are pruned and only evaluated.
        recalibrate_images: training images on which running statistics are measured anew after pruning, before a
            network is evaluated and trained on (Li et al. 2020, arXiv 2007.02491, section 3.3); 0 for none. Rows have
            the accuracies before it (`test_accuracy_pruned`) and after (`test_accuracy_recalibrated`).
        dense: a network that is pruned instead of training one: a stage `train-...`, with `:exact10` for weights that
            `train.save_epochs` kept, a ticket with trained weights, or a file of weights; empty for none. Tickets go
            back to its own initial weights.
    """

    sparsities: tuple[float, ...] = option((0.5, 0.8, 0.9, 0.95), above=0, below=1, nonempty=True, increasing=True)
    prune: PruneOptions = PruneOptions()
    retrain: str = option("rewind", choices=("rewind", "lr_rewind", "full", "finetune", "random"))
    rewind_epochs: int = option(0, minimum=0, within="epochs")
    finetune_epochs: int = option(0, minimum=0, within="epochs", only=("retrain", "finetune"))
    recalibrate_images: int = option(0, minimum=0, only=("retrain", "lr_rewind", "full", "finetune"))
    dense: str = ""

    def check(self, where: str) -> None:
        """Refuses epochs that are not used or do not exist."""
        super().check(where)
        if self.retrain in ("finetune", "full") and self.rewind_epochs:
            raise ConfigError(
                f"config.rewind_epochs={self.rewind_epochs}: retrain={self.retrain!r} does not rewind; set 0"
            )
        check_loaded(self, self.dense)


def oneshot(lab: "Lab", options: OneshotOptions) -> None:
    """Trains, prunes to each sparsity, and trains each sparse network from where `retrain` says.

    With `retrain='random'` that is the rewind point, and every ticket has a control next to it, `rr_omp`: its mask on
    other initial weights.
    """
    from jaxticket.lab.channel_tickets import channel_facts
    from jaxticket.lab.network_slimming import check_scales
    from jaxticket.lab.pretrained import dense_network
    from jaxticket.lab.recalibration import check_recalibrated, recalibrated

    check_scales(lab.setting, options.prune)
    check_recalibrated(lab.setting, options.recalibrate_images)
    per_epoch = lab.setting.duration.steps_per_epoch
    rewind_step = options.rewind_epochs * per_epoch
    if options.retrain == "finetune" and not options.finetune_epochs:
        lab.recorder.remark("config.finetune_epochs=0: networks are pruned and evaluated, and not trained on")

    def one_seed(seed: int) -> None:
        full = lab.full_mask(options.prune)
        dense = dense_network(lab, options, full, seed=seed, rewind_step=rewind_step)
        weights, rewinds = dense.weights, options.retrain in ("rewind", "random")
        instead = "set config.retrain to 'full', 'lr_rewind' or 'finetune'"
        rewound = dense.at(rewind_step, instead=instead) if rewinds else weights
        for level, sparsity in enumerate(options.sparsities, start=1):
            mask = lab.prune(weights, full, options.prune, seed=seed, sparsity=sparsity)
            if rewinds:
                start, start_step = rewound, rewind_step
            elif options.retrain in ("lr_rewind", "full"):
                start, start_step = weights, rewind_step
            else:
                start, start_step = weights, lab.setting.duration.total_steps - options.finetune_epochs * per_epoch
            facts = channel_facts(mask, options.prune)
            if options.recalibrate_images:
                start = recalibrated(lab, weights, mask, images=options.recalibrate_images, seed=seed)
                scores = lab.evaluate(start, mask, label=f"omp-{level}-{seed} recalibrated")
                facts |= {f"{name}_recalibrated": scores.get(name) for name in ("val_accuracy", "test_accuracy")}
            how = {"start_step": start_step, "facts": facts}
            lab.train_row("omp", level, seed, start, mask, pruned=weights, **how)
            if options.retrain == "random":
                other = lab.reinit(seed, level)
                lab.train_row("rr_omp", level, seed, other, mask, pruned=other, ticket=False)

    lab.for_each_seed(one_seed)
    lab.recorder.compare(Pair("omp", "rr_omp"), Pair("omp", "dense", control_level=0))


EXPERIMENT = Experiment(
    name="oneshot",
    title="One-shot pruning",
    question="how much of a trained network can be removed at once, and how is the rest trained on?",
    paper="Han et al. (2015), arXiv 1506.02626; Renda et al. (2020), arXiv 2003.02389",
    options=OneshotOptions,
    columns=(
        Column("val_accuracy_recalibrated", "validation accuracy, recalibrated", ".2%"),
        Column("test_accuracy_recalibrated", "test accuracy, recalibrated", ".2%"),
    ),
    run="jaxticket.experiments.oneshot:oneshot",
)
