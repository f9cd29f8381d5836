"""Options of an experiment; the command line's `config` is one of these, checked and frozen."""

import dataclasses
from typing import ClassVar

from jaxticket.core.checks import check_name
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.core.spans import check_spans
from jaxticket.data.options import DataOptions
from jaxticket.lab.aid_options import AidOptions, check_aids
from jaxticket.models.options import ModelOptions
from jaxticket.parallel.options import MeshOptions
from jaxticket.training.options import TrainOptions


@dataclasses.dataclass(frozen=True)
class ExperimentOptions:
    """Options that every experiment has.

    Attributes:
        name: the first half of the name of the experiment's folder; it changes no result.
        seeds: the experiment is repeated for each seed; within a seed, initialisation, data order and augmentation draw
            from separate streams of random numbers.
        seed: shorthand for a single seed; replaces `seeds`.
        seed_parallelism: how several seeds are trained: one after the other (`serial`), in one vectorised program
            (`vmap`) or each on a device of its own (`devices`); `auto` chooses what should be fastest, in a run of
            several processes `devices`, where seeds that do not fill all devices are trained one after the other by all
            of them. Results are equal to float tolerance.
        mesh: the devices that train one network together.
        writers: where learning curves are written while networks train, in addition to `metrics.jsonl`.
        ticket_weights: which weights a saved ticket holds: those that its mask keeps (`kept`), with zeros elsewhere, or
            `all`, so that a mask which brings some back finds their values. It changes no result.
        keep_trained: whether the trained weights of every row, the dense network's too, are saved next to the tickets:
            as tickets in `trained/`. Set it on a finished experiment and call it again to have them written.
        init: the initial weights of every seed: the path of a ticket, of a stage, of a `.safetensors` file or of a
            PyTorch checkpoint; add `:NAME` for other weights of a stage or another entry of a checkpoint. Empty: they
            are drawn. Controls and new classifiers still draw theirs.
        profile_steps: trace at least so many training steps into `profile/`; 0 for no trace.
        data: the data set.
        model: the network.
        train: options of every training run of the experiment.
        aids: help for networks while they train; all are off by default.
    """

    # Whether an experiment has networks without any training, with `train.epochs=0`.
    evaluates: ClassVar[bool] = False

    name: str = option("", hashed=False)
    seeds: tuple[int, ...] = option((0,), minimum=0, nonempty=True, unique=True)
    seed: int | None = option(None, minimum=0)
    seed_parallelism: str = option("auto", choices=("auto", "serial", "vmap", "devices"), hashed=False)
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
        if self.name:
            check_name("config.name", self.name)
        check_spans(self, self.train.length(), where)
        keys = ("select_checkpoint", "report")
        validating = [f"{key}='best_val'" for key in keys if getattr(self.train, key) == "best_val"]
        validating += [f"patience={self.train.patience}"] if self.train.patience else []
        if validating and not self.data.val_fraction:
            raise ConfigError(f"config.train.{validating[0]}: needs config.data.val_fraction above 0, found 0")
        if self.train.patience and self.seed_parallelism in ("vmap", "devices"):
            raise ConfigError(
                f"config.seed_parallelism={self.seed_parallelism!r}: seeds that may end early are trained one after "
                f"the other; use 'auto', or set config.train.patience={self.train.patience} to 0"
            )

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds to run."""
        return self.seeds if self.seed is None else (self.seed,)


def check_train_levels(train_levels: tuple[int, ...], levels: int) -> None:
    """Refuses levels that are not there; `levels` is the last one."""
    if train_levels and train_levels[-1] > levels:
        raise ConfigError(
            f"config.train_levels={train_levels}: must be increasing levels from 1 to {levels}, such as ({levels},); "
            "empty is all of them"
        )


def check_loaded(options: ExperimentOptions, dense: str) -> None:
    """Refuses several seeds of an experiment whose `dense` is a network that was trained before."""
    if dense and len(options.all_seeds) > 1:
        found = f"found seeds {options.all_seeds}"
        raise ConfigError(f"config.dense={dense!r}: is a network of one seed; {found}; set config.seeds to one")
