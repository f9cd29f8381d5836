"""What a training, an evaluation and a pruning depend on as well as the weights and the mask that they begin with."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxticket.core.granularities import find_granularity
from jaxticket.core.lazy import load_object
from jaxticket.core.options import chosen
from jaxticket.core.scopes import scope_of
from jaxticket.lab.derived import with_source
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.setting import Setting
from jaxticket.training.mask_updates import MaskUpdate
from jaxticket.training.monitors import Monitor
from jaxticket.training.objectives import METRICS
from jaxticket.training.options import TrainOptions


def training_key(
    setting: Setting, train: TrainOptions, seed: int, noise: str, run: Mapping[str, Any]
) -> dict[str, Any]:
    """Of a training, JSON-ready, by the arguments of `Lab.train`; what is off leaves no trace."""
    optional = {
        "noise": noise,
        "mask_update": _named(run["mask_update"]),
        "save_epochs": list(run["save_epochs"]),
        "aids": setting.options.aids.key(),
        "monitor": _named(run["monitor"]),
    }
    config = {
        **setting.network_key(),
        "data": setting.data_key(),
        "train": chosen(train),
        "seed": seed,
        "start_step": run["start_step"],
        "snapshot_step": run["snapshot_step"],
        **{name: value for name, value in optional.items() if value},
    }
    return with_source(config, *_objectives(train))


def evaluation_key(setting: Setting, train: TrainOptions) -> dict[str, Any]:
    """Of an evaluation, JSON-ready."""
    aids = setting.options.aids
    return {**setting.batches_key(train), **({"aids": aids.key()} if aids.stays else {}), **objective_key(train)}


def objective_key(train: TrainOptions) -> dict[str, Any]:
    """What losses and scores of given outputs depend on; empty for cross entropy and accuracy."""
    parts = chosen(TrainOptions(loss=train.loss, score=train.score, metrics=train.metrics))
    return with_source({"measured": parts} if parts else {}, *_objectives(train))


def loss_key(train: TrainOptions) -> dict[str, Any]:
    """What derivatives of the loss depend on; empty for cross entropy."""
    return objective_key(TrainOptions(loss=train.loss))


def _objectives(train: TrainOptions) -> list[Any]:
    """The functions of the loss and the metrics that were chosen."""
    names = [name for name in (train.score, *train.metrics) if name]
    metrics = [METRICS.get(name, "train.metrics") for name in names]
    functions = [train.loss_row.function, *(part for row in metrics for part in (row.function, row.finish) if part)]
    return [load_object(function) for function in functions]


def pruning_key(setting: Setting, how: PruneOptions, *, seed: int, sparsity: float | None) -> dict[str, Any]:
    """Of a pruning, JSON-ready, with the sources of a user's own criterion, scope and granularity."""
    # The rules made the mask; they do not act a second time.
    config: dict[str, Any] = {"prune": chosen(dataclasses.replace(how, rules=()))}
    if "key" in how.row.needs or how.row.sees_images:
        config["seed"] = seed
    if how.row.sees_images:
        config["data"] = setting.data_key()
    if "loss" in how.row.needs:
        config |= loss_key(setting.options.train)
    if sparsity is not None:
        config["sparsity"] = sparsity
    criterion, scope = how.row, scope_of(how.scope)
    make = find_granularity(how.granularity, "config.prune.granularity")[0].make
    named = (criterion.scores, criterion.prunes, scope.numbers, scope.ranks, make)
    return with_source(config, *(load_object(part) for part in named if part))


def _named(part: MaskUpdate | Monitor | None) -> dict[str, Any]:
    """A dataclass in a key: its name, its fields and, where it is not the package's, its sources; empty for None."""
    return {} if part is None else with_source({type(part).__name__: dataclasses.asdict(part)}, type(part))
