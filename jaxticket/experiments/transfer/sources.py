"""The tickets that a transfer takes: found in folders, in numeric order, and checked against the network."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxticket import storage
from jaxticket.core import paths
from jaxticket.core.errors import ConfigError, MaskError, TicketError
from jaxticket.data.options import DataOptions
from jaxticket.experiments.colt.options import ColtOptions
from jaxticket.experiments.transfer.options import TransferOptions
from jaxticket.lab.lab import Lab
from jaxticket.lab.rate_groups import is_head
from jaxticket.lab.setting import Setting
from jaxticket.lab.ticket_labels import parsed
from jaxticket.ticket import DESCRIPTION, Ticket, load_ticket


@dataclasses.dataclass(frozen=True)
class TicketSource:
    """A ticket to be transferred.

    Attributes:
        folder: where it is.
        name: its series, such as `colt-cifar100`: the branch and the data set it was found on.
        level: its round.
        seed: its replicate; None for a ticket that is taken with every seed.
        keeps_head: whether it was found on the very data it is transferred to, so that its classifier fits.
    """

    folder: Path
    name: str
    level: int
    seed: int | None
    keeps_head: bool


def find_sources(lab: Lab, options: TransferOptions) -> list[TicketSource]:
    """The tickets in all folders, by series in order of first appearance, then by round and seed, as numbers.

    Raises:
        ConfigError: no folder, one without tickets, two tickets of one series, round and seed, or a seed without any.
        TicketError: a ticket is damaged.
        MaskError: a ticket is of another network.
    """
    if not options.sources and not lab.stages.execute:
        return []  # so that the rest of a plan can be seen
    if not options.sources:
        raise ConfigError(
            "config.sources=(): must be folders of tickets or of experiments, such as ('runs/colt-1a2b3c4d',)"
        )
    found = [source for folder in options.sources for source in _in_folder(lab.setting, Path(folder), options)]
    series = list(dict.fromkeys(source.name for source in found))
    found.sort(key=lambda source: (series.index(source.name), source.level, -1 if source.seed is None else source.seed))
    for one, other in itertools.pairwise(found):
        if (one.name, one.level, one.seed) == (other.name, other.level, other.seed):
            raise ConfigError(f"config.sources: {one.folder} and {other.folder} are of one series and round; name one")
    for seed in options.all_seeds:
        if not any(source.seed in (None, seed) for source in found):
            seeds = sorted({source.seed for source in found if source.seed is not None})
            raise ConfigError(f"config.seeds={options.all_seeds}: no ticket has seed {seed}; must be among {seeds}")
    return found


def _in_folder(setting: Setting, folder: Path, options: TransferOptions) -> list[TicketSource]:
    if (folder / DESCRIPTION).is_file():
        return [_source(setting, folder, options.data, alone=True)]
    folders = sorted(file.parent for file in (folder / "tickets").glob(f"*/{DESCRIPTION}"))
    if not folders:
        raise ConfigError(f"config.sources: {str(folder)!r} is neither a ticket nor an experiment with tickets")
    branches = {one: _branch(one.name) for one in folders}
    wanted = [one for one in folders if not options.branches or branches[one] in options.branches]
    if not wanted:
        known = ", ".join(sorted(set(branches.values())))
        raise ConfigError(f"config.branches={options.branches}: {folder} has tickets of {known}")
    return [_source(setting, one, options.data, alone=False) for one in wanted]


def _branch(label: str) -> str:
    return parsed(label)[0]


def _source(setting: Setting, folder: Path, target: DataOptions, *, alone: bool) -> TicketSource:
    ticket = load_ticket(folder)
    _check_meta(ticket, folder)
    if ticket.meta.get("weights") != "rewind":
        raise TicketError(f"{folder}: holds trained weights, and only weights to start from are transferred")
    keeps_head = _found_on(ticket) == _named(target)
    _check_fit(setting, ticket, folder, with_head=keeps_head)
    branch, level, seed = parsed(ticket.meta.get("label", folder.name))
    name = "-".join(filter(None, [branch, ticket.meta.get("dataset", "")]))
    return TicketSource(folder, name, level, None if alone else seed, keeps_head)


def _check_meta(ticket: Ticket, folder: Path) -> None:
    """Refuses facts of another kind than those that are read here, with a `TicketError`; any of them may be missing."""
    where, meta = f"{folder / DESCRIPTION}: meta", ticket.meta
    kinds = {"config": dict, "case": dict, "model": dict, "label": str, "dataset": str}
    storage.check_fields(dict(meta), {name: kind for name, kind in kinds.items() if name in meta}, where)
    config, model = meta.get("config", {}), meta.get("model", {})
    inner = {"data": dict} if "data" in config else {}
    storage.check_fields(config, inner, f"{where}: config")
    inner = {"image_shape": list} if "image_shape" in model else {}
    storage.check_fields(model, inner, f"{where}: model")
    data = config.get("data", {})
    kinds = {"part": str, "class_order": str, "class_seed": int}
    storage.check_fields(data, {name: kind for name, kind in kinds.items() if name in data}, f"{where}: data")


def _found_on(ticket: Ticket) -> tuple[Any, ...]:
    """The data set and the classes a ticket was found on, as `_named` has them."""
    meta = ticket.meta
    config = meta.get("config", {})
    data, part = config.get("data", {}), meta.get("case", {}).get("part")
    if part is None:
        text = data.get("part", DataOptions.part)
    else:
        text = f"{part}/{config.get('partitions', ColtOptions.partitions)}"
    order = data.get("class_order", DataOptions.class_order), data.get("class_seed", DataOptions.class_seed)
    return _classes(meta.get("dataset", ""), text, *order)


def _named(data: DataOptions) -> tuple[Any, ...]:
    return _classes(data.name, data.part, data.class_order, data.class_seed)


def _classes(name: str, part: str, class_order: str, class_seed: int) -> tuple[Any, ...]:
    if part in ("full", "1/1"):
        return name, "full"
    return (name, part, class_order, class_seed if class_order == "shuffled" else 0)


def _check_fit(setting: Setting, ticket: Ticket, folder: Path, *, with_head: bool) -> None:
    """Refuses a ticket whose leaves, but for a classifier that is replaced, are not those of the network."""
    found = {path: leaf.shape for path, leaf in paths.leaves(ticket.params).items()}
    wanted = {path: leaf.shape for path, leaf in paths.leaves(setting.shapes.params).items()}
    model, its = setting.options.model.name, ticket.meta.get("model", {})
    for path in sorted(found.keys() | wanted.keys()):
        if found.get(path) == wanted.get(path) or (is_head(path) and not with_head and path in found):
            continue
        shape = its.get("image_shape")
        images = f"; its images are {tuple(shape)}, these {setting.image_shape}" if shape else ""
        raise MaskError(
            f"config.sources: {folder}: {path} is {found.get(path, 'absent')} in the ticket of "
            f"{its.get('name', 'a network')} and {wanted.get(path, 'absent')} in {model} on {setting.spec.name}"
            f"{images}; set config.model to the ticket's and take data whose images fit it"
        )


def taken_with(sources: Sequence[TicketSource], seed: int) -> list[TicketSource]:
    """Those taken with a seed."""
    return [source for source in sources if source.seed in (None, seed)]
