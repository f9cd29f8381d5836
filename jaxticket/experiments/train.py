"""Training one network: dense, or a ticket that was saved."""

from jaxticket.core.errors import ConfigError
from jaxticket.lab.activation_sparsity import Look, note_filters, note_silence
from jaxticket.lab.lab import Lab
from jaxticket.lab.options import TrainExperiment
from jaxticket.lab.rewound_ticket import saved_ticket
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.lab.trained import Trained


def train(lab: Lab, options: TrainExperiment) -> None:
    """Trains the network once for every seed; with a ticket, its weights under its mask, or others as a control.

    With `analyse` the summary gets `silence` and `silent_filters` of what came of it.
    """
    done: dict[int, tuple[Trained, MaskRef]] = {}

    def one_seed(seed: int) -> None:
        branch, start, mask = _start(lab, options, seed)
        trained = lab.train(start, mask, seed=seed, label=f"{branch}-0-{seed}")
        wanted, pruned = not branch.startswith("rr_"), start if options.ticket else None
        lab.record(branch, 0, seed, trained, mask, start=start, pruned=pruned, ticket=wanted)
        done[seed] = trained, mask

    lab.for_each_seed(one_seed)
    if options.analyse:
        _analyse(lab, options, {seed: done[seed] for seed in options.all_seeds})


def _analyse(lab: Lab, options: TrainExperiment, done: dict[int, tuple[Trained, MaskRef]]) -> None:
    """Looks at the network of every seed."""
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


def _start(lab: Lab, options: TrainExperiment, seed: int) -> tuple[str, WeightsRef, MaskRef]:
    """The branch, the weights to start from and the mask."""
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
