"""Training one network: dense, or a ticket taken from a folder."""

from pathlib import Path

from jaxticket.experiments.lab import Lab
from jaxticket.experiments.options import TrainExperiment


def train(lab: Lab, options: TrainExperiment) -> None:
    """Trains the network once for every seed; with a ticket, its weights under its mask."""

    def one_seed(seed: int) -> None:
        if options.ticket:
            start, mask = lab.ticket(Path(options.ticket))
            branch = "ticket"
        else:
            start, mask = lab.init(seed), lab.full_mask()
            branch = "dense"
        trained = lab.train(start, mask, seed=seed, label=f"{branch}-0-{seed}")
        lab.record(branch, 0, seed, trained, mask, start=start, pruned=start if options.ticket else None)

    lab.for_each_seed(one_seed)
