"""Iterative magnitude pruning with rewinding (Frankle & Carbin 2019, strategy 2; Frankle et al. 2020)."""

import dataclasses
from typing import TYPE_CHECKING

from jaxticket.analysis import Pair
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.lab.options import ExperimentOptions, check_loaded, check_train_levels
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.registry import Experiment

if TYPE_CHECKING:
    from jaxticket.lab.lab import Lab
    from jaxticket.lab.stages.references import MaskRef, WeightsRef


@dataclasses.dataclass(frozen=True)
class ImpOptions(ExperimentOptions):
    """Iterative magnitude pruning.

    Attributes:
        levels: rounds of pruning and retraining after the dense network, which is level 0.
        prune: what a round removes.
        reinit: where each level starts: `init` from the first weights (or the rewind point), `none` from the weights
            it was pruned with; `random` is `init` with a control next to each ticket, the branch `rr_imp`: its mask on
            other initial weights, a fresh draw for each level, trained by the full schedule.
        reinit_masks: for `random`, whose masks are trained from other weights: each `ticket`'s, or the control's `own`,
            found by pruning what the last fresh draw was trained to; there are no tickets then.
        rewind_epochs: the rewind point, in epochs of the dense run; 0 for the initial weights.
        rewind_steps: the same in steps; set only one of the two.
        retrain: after a rewind, the `full` schedule or the `remaining` part of it.
        sparsity: the sparsity of the last level, reached by the same rate in every round; `prune.rate` is then not
            used. 0: `prune.rate` decides.
        train_levels: for `random`, the levels at which the control is trained; empty for all. Tickets are trained at
            every level, for one leads to the next.
        dense: a network that is pruned instead of training one: a stage `train-...`, with `:exact10` for weights that
            `train.save_epochs` kept, a ticket with trained weights, or a file of weights; empty for none. Tickets go
            back to its own initial weights.
    """

    levels: int = option(8, minimum=1)
    prune: PruneOptions = PruneOptions()
    reinit: str = option("init", choices=("init", "none", "random"))
    reinit_masks: str = option("ticket", choices=("ticket", "own"), only=("reinit", "random"))
    rewind_epochs: int = option(0, minimum=0, within="epochs")
    rewind_steps: int = option(0, minimum=0, within="steps")
    retrain: str = option("full", choices=("full", "remaining"))
    sparsity: float = option(0.0, minimum=0, below=1)
    train_levels: tuple[int, ...] = option((), minimum=1, increasing=True)
    dense: str = ""

    def check(self, where: str) -> None:
        """Refuses rewind points that do not exist or would not be used."""
        super().check(where)
        if self.rewind_epochs and self.rewind_steps:
            raise ConfigError(f"config.rewind_steps={self.rewind_steps}: config.rewind_epochs is set too; set one to 0")
        rewinds = self.rewind_epochs or self.rewind_steps
        check_train_levels(self.train_levels, self.levels)
        if self.train_levels and (self.reinit, self.reinit_masks) != ("random", "ticket"):
            raise ConfigError(
                f"config.train_levels={self.train_levels}: only read for the control, with reinit='random' "
                f"and reinit_masks='ticket', found {self.reinit!r} and {self.reinit_masks!r}"
            )
        if rewinds and self.reinit == "none":
            raise ConfigError("config.reinit='none': does not rewind; set the rewind point to 0, or reinit='init'")
        if rewinds and self.reinit_masks == "own":
            raise ConfigError("config.reinit_masks='own': nothing is rewound; set the rewind point to 0")
        if self.retrain == "remaining" and not rewinds:
            raise ConfigError("config.retrain='remaining': needs rewind_epochs or rewind_steps above 0")
        if self.sparsity and self.prune.rate != PruneOptions.rate:
            raise ConfigError(
                f"config.prune.rate={self.prune.rate}: config.sparsity={self.sparsity} sets the rate of the "
                f"{self.levels} rounds; leave one of them"
            )
        check_loaded(self, self.dense)


def imp(lab: "Lab", options: ImpOptions) -> None:
    """Trains, prunes the smallest survivors, rewinds and trains again, once for every seed.

    Level 0 is the dense network. The ticket of a level is its mask with the weights its training starts from. With
    `reinit='random'` every ticket has a control next to it, `rr_imp`: its mask on other initial weights.
    """
    from jaxticket.core.schedules import exponential
    from jaxticket.lab.channel_tickets import channel_facts
    from jaxticket.lab.network_slimming import check_scales
    from jaxticket.lab.pretrained import dense_network

    check_scales(lab.setting, options.prune)

    def one_seed(seed: int) -> None:
        mask = lab.full_mask(options.prune)
        rewind_step = options.rewind_steps or options.rewind_epochs * lab.setting.duration.steps_per_epoch
        dense = dense_network(lab, options, mask, seed=seed, rewind_step=rewind_step)
        weights = dense.weights
        rewinds = options.reinit != "none" and options.reinit_masks == "ticket"
        rewound = dense.at(rewind_step, instead="set config.reinit='none'") if rewinds else weights
        start_step = rewind_step if options.retrain == "remaining" else 0

        def control(level: int, mask: "MaskRef") -> "WeightsRef":
            """Trains a mask from other initial weights, by the full schedule."""
            other = lab.reinit(seed, level)
            return lab.train_row("rr_imp", level, seed, other, mask, pruned=other, ticket=False).weights

        for level in range(1, options.levels + 1):
            reached = float(exponential(options.sparsity, options.levels)(level)) if options.sparsity else None
            mask = lab.prune(weights, mask, options.prune, seed=seed, sparsity=reached, level=level)
            if options.reinit_masks == "own":
                weights = control(level, mask)
                continue
            start = rewound if rewinds else weights
            how = {"start_step": start_step, "facts": channel_facts(mask, options.prune)}
            weights = lab.train_row("imp", level, seed, start, mask, pruned=weights, **how).weights
            if options.reinit == "random" and (not options.train_levels or level in options.train_levels):
                control(level, mask)

    lab.for_each_seed(one_seed)
    lab.recorder.compare(Pair("imp", "rr_imp"), Pair("imp", "dense", control_level=0))


EXPERIMENT = Experiment(
    name="imp",
    title="Iterative magnitude pruning",
    question="how far can a network be pruned round by round, and do its initial weights matter?",
    paper="Frankle & Carbin (2019), arXiv 1803.03635; Frankle et al. (2020), arXiv 1912.05671",
    options=ImpOptions,
    run="jaxticket.experiments.imp:imp",
)
