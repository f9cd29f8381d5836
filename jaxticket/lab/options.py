"""What an experiment is told; the command line's `config` is one of these, checked and frozen."""

import dataclasses
import re
from typing import ClassVar

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.core.spans import check_spans
from jaxticket.data.options import DataOptions
from jaxticket.lab.aid_options import AidOptions, check_aids
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.models.options import ModelOptions
from jaxticket.parallel.options import MeshOptions
from jaxticket.training.options import TrainOptions


@dataclasses.dataclass(frozen=True)
class ExperimentOptions:
    """What every experiment has.

    Attributes:
        name: the first half of the experiment's folder name; says nothing about what is computed.
        seeds: one replicate each; initialisation, data order and augmentation have their own streams within a seed.
        seed: shorthand for a single seed; replaces `seeds`.
        replicates: seeds one after the other (`serial`), in one vectorised program (`vmap`) or each on a device of its
            own (`devices`); `auto` takes what should be fastest, in a run of several processes `devices`, where those
            that do not fill all devices are trained one after the other by all. Results are equal to float tolerance.
        mesh: the devices that train one network together.
        writers: what gets the learning curves while networks train, beside `metrics.jsonl`, each once.
        ticket_weights: what saved tickets have: the weights that their masks keep (`kept`), zero elsewhere, or `all`,
            so that a mask which brings some back finds their values. Says nothing about what is computed.
        keep_trained: whether the trained weights of every row, the dense network's too, are kept beside the tickets: in
            `trained/`, as tickets of that kind. A finished experiment writes them when it is called again.
        init: the initial weights of every seed: the path of a ticket, of a stage, of a `.safetensors` file or of a
            PyTorch checkpoint; with `:NAME` for other weights of a stage or another entry of a checkpoint. Empty draws
            them. Other draws, of controls and new classifiers, stay draws.
        profile_steps: how many steps of training are traced, at least, into `profile/`; 0 for no trace.
        data: the data set.
        model: the network.
        train: every training run of the experiment.
        aids: what helps networks while they train; all are off by default.
    """

    # Whether an experiment has networks without any training, with `train.epochs=0`.
    evaluates: ClassVar[bool] = False

    name: str = option("", hashed=False)
    seeds: tuple[int, ...] = option((0,), minimum=0, nonempty=True, unique=True)
    seed: int | None = option(None, minimum=0)
    replicates: str = option("auto", choices=("auto", "serial", "vmap", "devices"), hashed=False)
    mesh: MeshOptions = option(MeshOptions(), hashed=False)
    writers: tuple[str, ...] = option((), choices=("tensorboard", "wandb"), unique=True, hashed=False)
    profile_steps: int = option(0, minimum=0, up_to="steps", hashed=False)
    ticket_weights: str = option("kept", choices=("kept", "all"), hashed=False)
    keep_trained: bool = option(False, hashed=False)
    init: str = ""
    data: DataOptions = DataOptions()
    model: ModelOptions = ModelOptions()
    train: TrainOptions = TrainOptions()
    aids: AidOptions = AidOptions()

    def check(self, where: str) -> None:
        """Refuses what the parts cannot see by themselves."""
        check_aids(self.aids, self.train)
        if not self.train.trains and not self.evaluates:
            raise ConfigError("config.train.epochs=0: set epochs or steps to at least 1")
        if not re.fullmatch(r"[A-Za-z0-9_.-]*", self.name) or self.name.startswith("."):
            raise ConfigError(f"config.name={self.name!r}: must be letters, digits, '_', '-' or '.'")
        check_spans(self, self.train.length(), where)
        for key in ("select", "report"):
            if getattr(self.train, key) == "best_val" and not self.data.val_fraction:
                raise ConfigError(f"config.train.{key}='best_val': needs config.data.val_fraction above 0, found 0")
        if self.train.patience and not self.data.val_fraction:
            raise ConfigError(
                f"config.train.patience={self.train.patience}: needs config.data.val_fraction above 0, found 0"
            )
        if self.train.patience and self.replicates in ("vmap", "devices"):
            raise ConfigError(
                f"config.replicates={self.replicates!r}: seeds that may end early are trained one after the other; "
                f"use 'auto', or set config.train.patience={self.train.patience} to 0"
            )

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds to run."""
        return self.seeds if self.seed is None else (self.seed,)


def check_train_levels(train_levels: tuple[int, ...], levels: int) -> None:
    """Refuses levels that are not there; `levels` is the last one."""
    increasing = list(train_levels) == sorted(set(train_levels))
    if train_levels and (not increasing or train_levels[-1] > levels):
        raise ConfigError(
            f"config.train_levels={train_levels}: must be increasing levels from 1 to {levels}, such as ({levels},); "
            "empty is all of them"
        )


def check_loaded(options: ExperimentOptions) -> None:
    """Refuses several seeds of an experiment whose `dense` names a network that was trained before."""
    where = f"config.dense={getattr(options, 'dense', '')!r}"
    if len(options.all_seeds) > 1:
        raise ConfigError(f"{where}: is one training, of one seed; found seeds {options.all_seeds}")


@dataclasses.dataclass(frozen=True)
class TrainExperiment(ExperimentOptions):
    """One network trained: dense, or a ticket.

    Attributes:
        ticket: a saved ticket, or what else has a mask: a stage, a `.safetensors` file or a PyTorch checkpoint pruned
            by `torch.nn.utils.prune` or simply sparse. Its mask and its weights, or those of `init`, are trained; empty
            for a dense network. With `train.epochs=0` it is evaluated.
        reinit: where a ticket starts: `init` from its weights, `random` from other initial weights, as a control, the
            branch `rr_ticket`.
        analyse: whether the summary says how silent the neurons of what was trained, or only evaluated, are on the test
            images, layer by layer, and how empty its filters are.
        near_zero: up to which size an activation counts as near zero.
    """

    evaluates: ClassVar[bool] = True

    ticket: str = ""
    reinit: str = option("init", choices=("init", "random"))
    analyse: bool = option(False)
    near_zero: float = option(0.01, minimum=0, only=("analyse", True))

    def check(self, where: str) -> None:
        """Refuses other weights for what is no ticket."""
        super().check(where)
        if not self.train.trains and not (self.ticket or self.init):
            raise ConfigError(
                "config.train.epochs=0: evaluates weights that are given; name some with ticket or init, or set epochs "
                "or steps to at least 1"
            )
        if not self.train.trains and self.reinit == "init" and len(self.all_seeds) > 1:
            raise ConfigError(
                f"config.train.epochs=0: evaluates weights that are given, which is one network; found seeds "
                f"{self.all_seeds}; set config.seeds to one of them"
            )
        if self.reinit != "init" and not self.ticket:
            raise ConfigError(f"config.reinit={self.reinit!r}: is of a ticket; name one with config.ticket")
        if self.reinit != "init" and self.init:
            raise ConfigError(f"config.init={self.init!r}: reinit={self.reinit!r} draws other weights; leave one")
        if self.analyse and self.aids.stays:
            raise ConfigError(
                "config.analyse=True: looks at the plain network, and config.aids.permanent=True leaves another; set "
                "one of them to False"
            )


@dataclasses.dataclass(frozen=True)
class ImpExperiment(ExperimentOptions):
    """Iterative magnitude pruning.

    Attributes:
        levels: rounds of pruning and retraining after the dense network, which is level 0.
        prune: what a round removes.
        reinit: where each level starts: `init` from the first weights (or the rewind point), `none` from the weights
            it was pruned with; `random` is `init` with a control beside each ticket, the branch `rr_imp`: its mask on
            other initial weights, a fresh draw for each level, trained by the full schedule.
        reinit_masks: of `random`, whose masks are trained from other weights: each `ticket`'s, or the control's `own`,
            found on the way by pruning what the last fresh draw was trained to; there are no tickets then.
        rewind_epochs: the rewind point, in epochs of the dense run; 0 for the initial weights.
        rewind_steps: the same in steps; at most one of the two is not 0.
        retrain: after a rewind, the `full` schedule or the `remaining` part of it.
        sparsity: what the last level has, reached by the same rate in every round; `prune.rate` is then not used. 0
            goes by that rate.
        train_levels: of `random`, at which levels the control is trained; empty for all. Tickets lead from level to
            level and are trained at each.
        dense: a network that is pruned instead of training one: a stage `train-...`, with `:exact10` for weights that
            `train.save_epochs` kept, a ticket with trained weights, or a file of weights; empty for none. Tickets go
            back to its own initial weights.
    """

    levels: int = option(8, minimum=1)
    prune: PruneOptions = PruneOptions()
    reinit: str = option("init", choices=("init", "none", "random"))
    reinit_masks: str = option("ticket", choices=("ticket", "own"))
    rewind_epochs: int = option(0, minimum=0, within="epochs")
    rewind_steps: int = option(0, minimum=0, within="steps")
    retrain: str = option("full", choices=("full", "remaining"))
    sparsity: float = option(0.0, minimum=0, below=1)
    train_levels: tuple[int, ...] = option((), minimum=1)
    dense: str = ""

    def check(self, where: str) -> None:
        """Refuses rewind points that do not exist or would not be used."""
        super().check(where)
        if self.rewind_epochs and self.rewind_steps:
            raise ConfigError(f"config.rewind_steps={self.rewind_steps}: config.rewind_epochs is set too; set one to 0")
        rewinds = self.rewind_epochs or self.rewind_steps
        if self.reinit_masks != "ticket" and self.reinit != "random":
            raise ConfigError(
                f"config.reinit_masks={self.reinit_masks!r}: needs reinit='random', found {self.reinit!r}"
            )
        check_train_levels(self.train_levels, self.levels)
        if self.train_levels and (self.reinit, self.reinit_masks) != ("random", "ticket"):
            raise ConfigError(
                f"config.train_levels={self.train_levels}: says where the control is trained; needs reinit='random' "
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
        if self.dense:
            check_loaded(self)
