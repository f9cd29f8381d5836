"""Stages computed from stored weights and masks: other weights, another mask, or findings."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from jaxticket import storage
from jaxticket.core import masks
from jaxticket.core.types import Mask, Params
from jaxticket.lab.setting import Setting
from jaxticket.lab.stages.find_or_run import Stages
from jaxticket.lab.stages.own_sources import own_sources
from jaxticket.lab.stages.references import MaskRef, Stage, WeightsRef, write_weights
from jaxticket.training.state import Weights


@dataclasses.dataclass(frozen=True)
class Derived:
    """What a stage holds.

    Attributes:
        weights: `WeightsRef(stage, "weights")`; None for none.
        mask: path -> bool array, `MaskRef(stage)`; None for none.
        content: what else there is to say, JSON-ready.
    """

    weights: Weights | None = None
    mask: Mask | None = None
    content: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def derive(
    setting: Setting,
    stages: Stages,
    kind: str,
    compute: Callable[..., Derived],
    inputs: Mapping[str, WeightsRef | MaskRef] | None = None,
    *,
    version: int = 1,
    config: Mapping[str, Any] | None = None,
    label: str = "",
    work: str = "",
) -> Stage:
    """The stage of what `compute` returns, done before or done now.

    `compute` takes what the inputs hold, as keyword arguments; of one that is not the package's its sources are in the
    key. `version` is raised when the package's code changes what it computes. `config` is what else the result depends
    on, JSON-ready. `label`, and `work` in words, are for plans and the terminal.
    """
    inputs = inputs or {}

    def run(folder: Path) -> tuple[list[str], dict[str, Any]]:
        found = compute(**{name: stored.load() for name, stored in inputs.items()})
        files, content = [], dict(found.content)
        if found.weights is not None:
            write_weights(folder / "weights.safetensors", found.weights)
            files.append("weights.safetensors")
        if found.mask is not None:
            files += store_mask(folder, found.mask)
            content["mask"] = mask_statistics(setting.shapes.params, found.mask)
        return files, content

    source = own_sources(compute)
    config = {**(config or {}), **({"source": source} if source else {})}
    keys = {name: stored.key for name, stored in inputs.items()}
    return stages.stage(kind, version, config, keys, run, label=label or kind, work=work)


def store_mask(folder: Path, mask: Mask) -> list[str]:
    """Writes a mask into a stage's folder; the names of its files."""
    storage.save_arrays(folder / "mask.safetensors", jax.device_get(mask))
    return ["mask.safetensors"]


def mask_statistics(params: Params, mask: Mask) -> dict[str, Any]:
    """A mask in numbers, JSON-ready; `params` may be abstract."""
    kept, total = masks.count(mask)
    return {
        "kept": kept,
        "total": total,
        "sparsity": masks.sparsity(mask),
        "sparsity_total": masks.sparsity_total(params, mask),
        "layer_sparsity": masks.layer_sparsity(mask),
    }
