"""What the experiments with methods other than IMP are told."""

import dataclasses
from collections.abc import Iterator

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.core.spans import UP_TO, WITHIN, Length, Span
from jaxticket.lab.options import ExperimentOptions, check_loaded
from jaxticket.lab.prune_options import CRITERIA, PruneOptions

# The scales of a new network are all the same.
_AT_INIT = tuple(name for name in CRITERIA if name != "bn_scale")


@dataclasses.dataclass(frozen=True)
class OneshotExperiment(ExperimentOptions):
    """A trained network pruned once, to each of some sparsities, and trained again.

    Attributes:
        sparsities: increasing; level k of the rows is the k-th, level 0 the dense network.
        prune: what is ranked; its rate is not used.
        retrain: from the weights of the rewind point (`rewind`), from the trained weights with the learning rates from
            the rewind point on (`lr_rewind`), with the whole schedule (`full`), or with that of the last epochs
            (`finetune`).
            `random` is `rewind` with a control beside each ticket, the branch `rr_omp`: its mask on other initial
            weights, a fresh draw for each sparsity, trained by the full schedule.
        rewind_epochs: the rewind point; 0 is the start.
        finetune_epochs: how many; with 0 networks are pruned and only evaluated.
        dense: a network that is pruned instead of training one: a stage `train-...`, with `:exact10` for weights that
            `train.save_epochs` kept, a ticket with trained weights, or a file of weights; empty for none. Tickets go
            back to its own initial weights.
    """

    sparsities: tuple[float, ...] = option((0.5, 0.8, 0.9, 0.95), above=0, below=1, nonempty=True, increasing=True)
    prune: PruneOptions = PruneOptions()
    retrain: str = option("rewind", choices=("rewind", "lr_rewind", "full", "finetune", "random"))
    rewind_epochs: int = option(0, minimum=0, within="epochs")
    finetune_epochs: int = option(0, minimum=0, within="epochs")
    dense: str = ""

    def check(self, where: str) -> None:
        """Refuses epochs that are not used or do not exist."""
        super().check(where)
        if self.finetune_epochs and self.retrain != "finetune":
            raise ConfigError(
                f"config.finetune_epochs={self.finetune_epochs}: needs retrain='finetune', found {self.retrain!r}"
            )
        if self.retrain in ("finetune", "full") and self.rewind_epochs:
            raise ConfigError(
                f"config.rewind_epochs={self.rewind_epochs}: retrain={self.retrain!r} does not rewind; set 0"
            )
        if self.dense:
            check_loaded(self)


@dataclasses.dataclass(frozen=True)
class AtInitExperiment(ExperimentOptions):
    """Networks pruned before they are trained.

    Attributes:
        methods: criteria, each a branch of the rows.
        sparsities: increasing; level k of the rows is the k-th.
        prune: scope, images and the rest; its criterion and rate are not used.
        dense: whether the dense network is trained too, as level 0.
    """

    methods: tuple[str, ...] = option(
        ("random", "magnitude", "snip", "grasp", "synflow"), choices=_AT_INIT, nonempty=True, unique=True
    )
    sparsities: tuple[float, ...] = option((0.5, 0.9), above=0, below=1, nonempty=True, increasing=True)
    prune: PruneOptions = PruneOptions()
    dense: bool = option(True)


@dataclasses.dataclass(frozen=True)
class GradualExperiment(ExperimentOptions):
    """Gradual magnitude pruning while training.

    Attributes:
        sparsities: in the end, one network each; increasing.
        prune: scope and rules; criterion, rate and granularity are not used.
        begin: share of all steps after which pruning begins.
        end: share of all steps at which the sparsity is reached.
        every_steps: between two prunings.
        dense: whether the dense network is trained too, as level 0.
    """

    sparsities: tuple[float, ...] = option((0.5, 0.9), above=0, below=1, nonempty=True, increasing=True)
    prune: PruneOptions = PruneOptions()
    begin: float = option(0.0, minimum=0, below=1)
    end: float = option(0.75, above=0, maximum=1)
    every_steps: int = option(10, minimum=1)
    dense: bool = option(True)

    def check(self, where: str) -> None:
        """Refuses spans that end before they begin, and what is not used."""
        super().check(where)
        if self.begin >= self.end:
            raise ConfigError(f"config.begin={self.begin}: must be less than end={self.end}")
        if self.prune != PruneOptions(scope=self.prune.scope, rules=self.prune.rules):
            raise ConfigError("config.prune: gradual pruning by magnitude uses scope and rules alone; leave the rest")

    def spans(self, length: Length, where: str) -> Iterator[Span]:
        """Pruning needs a step at which it is done."""
        if "steps" in length:
            pruning = (self.end - self.begin) * length["steps"]
            of = f"training between begin={self.begin} and end={self.end}"
            yield Span("every_steps", self.every_steps, self.every_steps, pruning, "steps", UP_TO, of)


@dataclasses.dataclass(frozen=True)
class DynamicExperiment(ExperimentOptions):
    """Sparse from the start, with a mask that moves: SET and RigL, and a mask that stays.

    Attributes:
        methods: `static`, `set`, `rigl`, each a branch of the rows.
        sparsities: increasing; level k of the rows is the k-th.
        prune: scope (`erk` is customary) and rules of the random first mask.
        rate: share of the kept weights of each layer that is exchanged at first; it falls to 0 along a cosine.
        end: share of all steps after which the mask stays.
        every_steps: between two exchanges.
        dense: whether the dense network is trained too, as level 0.
    """

    methods: tuple[str, ...] = option(
        ("static", "set", "rigl"), choices=("static", "set", "rigl"), nonempty=True, unique=True
    )
    sparsities: tuple[float, ...] = option((0.5, 0.9), above=0, below=1, nonempty=True, increasing=True)
    prune: PruneOptions = PruneOptions(scope="erk", criterion="random")
    rate: float = option(0.3, above=0, below=1)
    end: float = option(0.75, above=0, maximum=1)
    every_steps: int = option(10, minimum=1)
    dense: bool = option(True)

    def check(self, where: str) -> None:
        """Refuses what is not used."""
        super().check(where)
        if self.prune.criterion != "random":
            raise ConfigError(f"config.prune.criterion={self.prune.criterion!r}: the first mask is 'random'")

    def spans(self, length: Length, where: str) -> Iterator[Span]:
        """A mask that moves needs a step at which it does."""
        if "steps" in length and self.methods != ("static",):
            moving = round(self.end * length["steps"])
            of = f"training until end={self.end}"
            yield Span("every_steps", self.every_steps, self.every_steps, moving, "steps", WITHIN, of)


@dataclasses.dataclass(frozen=True)
class AdmmOptions:
    """The phase in which weights are drawn towards their pruned copy.

    Attributes:
        epochs: its length; the learning rate falls to a tenth after each third.
        lr: the learning rate at first.
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
class AdmmExperiment(ExperimentOptions):
    """A trained network, its weights drawn towards a sparse copy, pruned and trained again.

    Attributes:
        sparsities: increasing; level k of the rows is the k-th, level 0 the dense network.
        prune: scope and rules; magnitudes are ranked, and the rate is not used.
        admm: the phase in between.
    """

    sparsities: tuple[float, ...] = option((0.8, 0.9, 0.95), above=0, below=1, nonempty=True, increasing=True)
    prune: PruneOptions = PruneOptions()
    admm: AdmmOptions = AdmmOptions()

    def check(self, where: str) -> None:
        """Refuses what is not used."""
        super().check(where)
        if self.prune != PruneOptions(scope=self.prune.scope, rules=self.prune.rules):
            raise ConfigError("config.prune: ADMM ranks magnitudes and uses scope and rules alone; leave the rest")
