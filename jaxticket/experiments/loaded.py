"""A dense network that was trained before, in the place of one that an experiment would train."""

import re
from pathlib import Path

from jaxticket import storage
from jaxticket.core.errors import ConfigError
from jaxticket.experiments.lab import Lab
from jaxticket.experiments.stages import Stage, WeightsRef
from jaxticket.experiments.trained import Trained
from jaxticket.ticket import DESCRIPTION, load_ticket


def loaded_dense(lab: Lab, folder: Path) -> tuple[WeightsRef, Trained | None]:
    """The weights of a finished training, and the training itself where it is a stage of a lab.

    What follows from a stage has the keys, and so the results, it has where that stage was made.

    Args:
        lab: whose network it must be.
        folder: a stage `train-...` of any work folder, or a ticket with trained weights.

    Raises:
        ConfigError: the folder holds neither.
        TicketError: a file in it is damaged.
        MaskError: it belongs to another network.
    """
    if (folder / DESCRIPTION).is_file():
        ticket = load_ticket(folder)
        if ticket.meta.get("weights") != "trained":
            raise ConfigError(
                f"config.dense={str(folder)!r}: holds the weights of a rewind point; must be a ticket whose "
                "meta['weights'] is 'trained', or a stage train-..."
            )
        return lab.ticket(folder, key="dense")[0], None
    name, content = folder.absolute().name, storage.read_manifest(folder)
    if content is None or not re.fullmatch(r"train-[0-9a-f]{12}", name):
        raise ConfigError(
            f"config.dense={str(folder)!r}: is no finished training; must be a folder WORKDIR/stages/train-..., or a "
            "ticket with trained weights"
        )
    stage = Stage("train", name.removeprefix("train-"), folder.absolute(), True, content, label="dense")
    lab.cache.asked.setdefault(stage.id, stage)
    trained = Trained(stage, {"last": "last", "best_val": "best"}[lab.options.train.select])
    lab.check_same_network(trained.weights.load().params, folder, key="dense")
    return trained.weights, trained
