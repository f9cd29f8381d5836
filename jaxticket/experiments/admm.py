"""Pruning by ADMM (Zhang et al. 2018), the alternating direction method of multipliers."""

import dataclasses
from typing import TYPE_CHECKING

from jaxticket.analysis import Pair
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.registry import Experiment

if TYPE_CHECKING:
    from jaxticket.lab.lab import Lab


@dataclasses.dataclass(frozen=True)
class AdmmPhase:
    """The phase in which weights are drawn towards their pruned copy.

    Attributes:
        epochs: length of the phase; the learning rate falls to a tenth after each third.
        lr: the learning rate of the first third.
        rho: weight of the penalty.
        every_epochs: epochs between two updates of the copy and the multipliers.
    """

    epochs: int = option(9, minimum=1)
    lr: float = option(1e-3, above=0)
    rho: float = option(1e-3, above=0)
    every_epochs: int = option(1, minimum=1)

    def check(self, where: str) -> None:
        """Refuses a phase that is over before the first update."""
        if self.every_epochs >= self.epochs:
            raise ConfigError(
                f"config.{where}.every_epochs={self.every_epochs}: must be less than the {self.epochs} epochs of the "
                f"phase, config.{where}.epochs"
            )


@dataclasses.dataclass(frozen=True)
class AdmmOptions(ExperimentOptions):
    """A trained network, its weights drawn towards a sparse copy, pruned and trained again.

    Attributes:
        sparsities: increasing; level k of the rows is the k-th, level 0 the dense network.
        prune: its `scope` and `rules`; magnitudes are ranked, and the rest is not used.
        admm: options of the phase in between.
    """

    sparsities: tuple[float, ...] = option((0.8, 0.9, 0.95), above=0, below=1, nonempty=True, increasing=True)
    prune: PruneOptions = PruneOptions()
    admm: AdmmPhase = AdmmPhase()

    def check(self, where: str) -> None:
        """Refuses what is not used."""
        super().check(where)
        if self.prune.is_more_than("scope", "rules"):
            raise ConfigError("config.prune: ADMM ranks magnitudes and uses scope and rules alone; leave the rest")


def admm(lab: "Lab", options: AdmmOptions) -> None:
    """Trains, draws the weights towards their pruned copy, prunes, and trains what is left from there."""
    from jaxticket.training.mask_updates import Admm

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
        lr_update="step",
        eval_epochs=min(options.train.eval_epochs, how.epochs),
        patience=0,
    )
    every = how.every_epochs * lab.setting.duration.steps_per_epoch

    def one_seed(seed: int) -> None:
        init = lab.init(seed)
        full = lab.full_mask(options.prune)
        dense = lab.train_row("dense", 0, seed, init, full)
        for level, sparsity in enumerate(options.sparsities, start=1):
            rule = Admm(every, how.rho, sparsity, options.prune.scope)
            drawn = lab.train(
                dense.weights, full, seed=seed, label=f"drawn-{level}-{seed}", mask_update=rule, train=drawing
            )
            mask = lab.prune(drawn.weights, full, options.prune, seed=seed, sparsity=sparsity)
            lab.train_row("admm", level, seed, drawn.weights, mask, pruned=drawn.weights)

    lab.for_each_seed(one_seed)
    lab.recorder.compare(Pair("admm", "dense", control_level=0))


EXPERIMENT = Experiment(
    name="admm",
    title="ADMM",
    question="does pruning cost less when weights are drawn towards a sparse copy first?",
    paper="Zhang et al. (2018), arXiv 1804.03294",
    options=AdmmOptions,
    run="jaxticket.experiments.admm:admm",
)
