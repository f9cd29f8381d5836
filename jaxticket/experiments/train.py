"""Training one network: dense, or a ticket that was saved."""

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.registry import Experiment

if TYPE_CHECKING:
    from jaxticket.lab.lab import Lab
    from jaxticket.lab.stages.references import MaskRef, WeightsRef
    from jaxticket.lab.trained import Trained


@dataclasses.dataclass(frozen=True)
class TrainExperimentOptions(ExperimentOptions):
    """One network trained: dense, or a ticket.

    Attributes:
        ticket: a saved ticket, or another source of a mask: a stage, a `.safetensors` file or a PyTorch checkpoint
            pruned by `torch.nn.utils.prune` or simply sparse. Its mask and its weights, or those of `init`, are
            trained; empty for a dense network. With `train.epochs=0` it is only evaluated.
        reinit: where a ticket starts: `init` from its weights, `random` from other initial weights, as a control, the
            branch `rr_ticket`.
        analyse: whether the summary says, layer by layer, how many activations are near zero on the test images, and
            how many filters are empty.
        near_zero: the largest size of an activation that counts as near zero.
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
            raise ConfigError(f"config.reinit={self.reinit!r}: needs a ticket; set config.ticket")
        if self.reinit != "init" and self.init:
            raise ConfigError(f"config.init={self.init!r}: reinit={self.reinit!r} draws other weights; leave one")
        if self.analyse and self.aids.stays:
            raise ConfigError(
                "config.analyse=True: measures the plain network, and config.aids.permanent=True leaves another; set "
                "one of them to False"
            )


def train(lab: "Lab", options: TrainExperimentOptions) -> None:
    """Trains the network once for every seed; with a ticket, its weights under its mask, or others as a control.

    With `analyse` the summary gets `silence` and `silent_filters` of what came of it.
    """
    done: dict[int, tuple[Trained, MaskRef]] = {}

    def one_seed(seed: int) -> None:
        branch, start, mask = _start(lab, options, seed)
        wanted, pruned = not branch.startswith("rr_"), start if options.ticket else None
        done[seed] = lab.train_row(branch, 0, seed, start, mask, pruned=pruned, ticket=wanted), mask

    lab.for_each_seed(one_seed)
    if options.analyse:
        _analyse(lab, options, {seed: done[seed] for seed in options.all_seeds})


def _analyse(lab: "Lab", options: TrainExperimentOptions, done: "dict[int, tuple[Trained, MaskRef]]") -> None:
    """Measures the network of every seed."""
    from jaxticket.lab.activation_sparsity import Look, note_filters, note_silence

    looks, filters = [], []
    for seed, (trained, mask) in done.items():
        content, of = trained.stage.content, {"seed": seed} if len(done) > 1 else {}
        epoch = content.get("best_epoch" if trained.select == "best" else "epochs")
        looks.append(Look(trained.weights, mask, {**of, "epoch": epoch}))
        sparsity = mask.stage.content.get("mask", {}).get("sparsity")
        filters.append(Look(trained.weights, mask, {**of, "sparsity": sparsity}))
    note_silence(lab, lab, looks, options.near_zero)
    for look in filters:
        note_filters(lab, lab, look)


def _start(lab: "Lab", options: TrainExperimentOptions, seed: int) -> "tuple[str, WeightsRef, MaskRef]":
    """The branch, the weights to start from and the mask."""
    from jaxticket.lab.rewound_ticket import saved_ticket

    if not options.ticket:
        return "dense", lab.init(seed), lab.full_mask()
    weights, mask = saved_ticket(lab, options.ticket)
    if options.reinit == "random":
        return "rr_ticket", lab.reinit(seed, 0), mask
    if options.init:
        return "ticket", lab.init(seed), mask
    if weights is None:
        raise ConfigError(
            f"config.ticket={options.ticket!r}: has a mask and no weights; name them with config.init, or draw them "
            "with config.reinit='random'"
        )
    return "ticket", weights, mask


EXPERIMENT = Experiment(
    name="train",
    title="Training",
    question="how accurate is a network, or a ticket that was saved, after training?",
    options=TrainExperimentOptions,
    run="jaxticket.experiments.train:train",
    sections=("jaxticket.report.sections.inactive_units:inactive_units_section",),
)
