"""What everything in a lab works with, and stages computed from stored weights and masks."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from jaxticket import storage
from jaxticket.core import masks
from jaxticket.core.types import Mask, Params
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.reach import Reach
from jaxticket.lab.recorder import Recorder
from jaxticket.lab.setting import Setting
from jaxticket.lab.stages.find_or_run import Stages
from jaxticket.lab.stages.own_sources import own_sources
from jaxticket.lab.stages.references import MaskRef, Stage, WeightsRef, write_weights
from jaxticket.training.interrupts import Interrupts
from jaxticket.training.progress import Progress
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


class Bench:
    """What a lab works with: all that is computed with it is a stage.

    Attributes:
        setting: the network, the data and the training that follow from the `options`.
        stages: what was done before, and where what is done now is kept.
        recorder: takes the rows and findings.
        progress: shows what happens.
        interrupts: asked whether to stop.
        reach: in a plan, what prunings leave.
    """

    setting: Setting
    options: ExperimentOptions
    stages: Stages
    recorder: Recorder
    progress: Progress
    interrupts: Interrupts
    reach: Reach

    def derive(
        self,
        kind: str,
        compute: Callable[..., Derived],
        inputs: Mapping[str, WeightsRef | MaskRef] | None = None,
        *,
        version: int = 1,
        config: Mapping[str, Any] | None = None,
        label: str = "",
        work: str = "",
    ) -> Stage:
        """The stage of the weights, the mask and the findings that `compute` returns, done before or done now.

        `compute` takes what the inputs hold, as keyword arguments; of one that is not the package's its sources are in
        the key. `version` is raised when the package's code changes what it computes. `config` is what else the result
        depends on, JSON-ready. `label`, and `work` in words, are for plans and the terminal.
        """
        inputs, stages = inputs or {}, self.stages
        keys = {name: stored.key for name, stored in inputs.items()}
        stage = stages.find(kind, version, with_source(config, compute), keys, label=label or kind, work=work)
        if stage.id in stages.asked:
            return stage
        with stages.claim([stage]) as done:
            if stage.id in done:
                return done[stage.id]
            self.interrupts.check()
            found = compute(**{name: stored.load() for name, stored in inputs.items()})
            folder, files, content = stages.workplace(stage), [], dict(found.content)
            if found.weights is not None:
                write_weights(folder / "weights.safetensors", found.weights)
                files.append("weights.safetensors")
            if found.mask is not None:
                files += store_mask(folder, found.mask)
                content["mask"] = mask_statistics(self.setting.shapes.params, found.mask)
            return stages.finish([(stage, files, content)])[0]

    def measure(
        self,
        kind: str,
        compute: Callable[..., dict[str, Any]],
        *,
        config: Mapping[str, Any] | None = None,
        **inputs: WeightsRef | MaskRef,
    ) -> Mapping[str, Any]:
        """What `compute` finds, JSON-ready, in what the inputs hold, by their names; empty in a plan.

        `kind` says what is measured, and `config` what else the result depends on.
        """
        config = with_source(config, compute)
        return self.derive(kind, lambda **found: Derived(content=compute(**found)), inputs, config=config).content


def with_source(config: Mapping[str, Any] | None, *parts: Any) -> dict[str, Any]:
    """A part of a key with the digest of the sources of classes or functions, where they are not the package's."""
    source = own_sources(*parts)
    return {**(config or {}), **({"source": source} if source else {})}


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
