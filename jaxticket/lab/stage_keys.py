"""What a training and an evaluation depend on as well as the weights and the mask that they begin with."""

import dataclasses
from typing import Any

from jaxticket.core.options import chosen
from jaxticket.lab.setting import Setting
from jaxticket.lab.stages.own_sources import own_sources
from jaxticket.training.mask_updates import MaskUpdate
from jaxticket.training.monitors import Monitor
from jaxticket.training.options import TrainOptions


def training_key(
    setting: Setting,
    train: TrainOptions,
    *,
    seed: int,
    start_step: int,
    snapshot_step: int,
    save_epochs: tuple[int, ...],
    mask_update: MaskUpdate | None,
    monitor: Monitor | None,
    noise: str,
) -> dict[str, Any]:
    """Of a training, JSON-ready; what is off leaves no trace. The arguments are those of `Lab.train`."""
    aids = setting.options.aids.key()
    return {
        **setting.network_key(),
        "data": setting.data_key(),
        "train": chosen(train),
        "seed": seed,
        "start_step": start_step,
        "snapshot_step": snapshot_step,
        **({"noise": noise} if noise else {}),
        **({"mask_update": _named(mask_update)} if mask_update else {}),
        **({"save_epochs": list(save_epochs)} if save_epochs else {}),
        **({"aids": aids} if aids else {}),
        **({"monitor": _named(monitor)} if monitor else {}),
    }


def evaluation_key(setting: Setting, train: TrainOptions) -> dict[str, Any]:
    """Of an evaluation, JSON-ready."""
    aids = setting.options.aids
    return {**setting.batches_key(train), **({"aids": aids.key()} if aids.stays else {})}


def _named(part: Any) -> dict[str, Any]:
    """A dataclass in a key: its name, its fields and, where it is not the package's, its sources."""
    source = own_sources(type(part))
    return {type(part).__name__: dataclasses.asdict(part), **({"source": source} if source else {})}
