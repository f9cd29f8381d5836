"""What the configuration of a transfer can learn from the tickets."""

from pathlib import Path
from typing import Any

from jaxticket.core.errors import ConfigError
from jaxticket.experiments.colt.recipes import apply_colt_recipe
from jaxticket.lab.ticket_labels import parsed
from jaxticket.ticket import DESCRIPTION, load_ticket


def apply_transfer_recipe(config: Any, model: str = "conv3", dataset: str = "digits", source: str = "") -> None:
    """Sets the keys of a transfer: training as in the experiment with overlapping tickets, random masks as controls.

    Args:
        config: a `ConfigDict` from `default_config("transfer")`.
        model: name of a network; with a source its own is taken.
        dataset: name of the data set on which tickets are trained.
        source: the folder of an experiment, or of one ticket; empty for none.
    """
    apply_colt_recipe(config, model, dataset)
    config.seeds, config.random_masks = (0, 1, 2), True
    if source:
        apply_source(config, source)


def apply_source(config: Any, folder: str) -> None:
    """Sets the source of a transfer, its seeds, and the network and the options that its first ticket has.

    `folder` is that of an experiment or of a ticket.

    Raises:
        ConfigError: there is no ticket in it.
        TicketError: the ticket is damaged.
    """
    files = [Path(folder) / DESCRIPTION, *sorted((Path(folder) / "tickets").glob(f"*/{DESCRIPTION}"))]
    found = [file.parent for file in files if file.is_file()]
    if not found:
        raise ConfigError(f"config argument 'source={folder}': is neither a ticket nor an experiment with tickets")
    config.sources = (folder,)
    if not (Path(folder) / DESCRIPTION).is_file():
        seeds = {seed for ticket in found if (seed := parsed(ticket.name)[2]) is not None}
        config.seeds = tuple(sorted(seeds)) or config.seeds
    model = load_ticket(found[0]).meta.get("model", {})
    with config.unlocked():
        config.model.name = model.get("name", config.model.name)
        config.model.options = dict(model.get("options", {}))
