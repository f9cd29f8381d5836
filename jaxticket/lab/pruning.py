"""Pruning by a criterion as a stage."""

import dataclasses
from typing import Any

from jaxticket.core.keys import seed_key
from jaxticket.core.options import chosen
from jaxticket.core.scope_counts import empty_layers
from jaxticket.core.types import Mask
from jaxticket.lab.derived import Derived, derive
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.scoring import own_code, prune_by_criterion
from jaxticket.lab.setting import Setting
from jaxticket.lab.stages.find_or_run import Stages
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.training.state import Weights


def pruned_mask(
    setting: Setting,
    stages: Stages,
    weights: WeightsRef,
    mask: MaskRef,
    how: PruneOptions,
    *,
    seed: int,
    sparsity: float | None,
    initial: WeightsRef | None,
) -> MaskRef:
    """`mask` without what `how` ranks lowest.

    The arguments are those of `scoring.prune_by_criterion`; `seed` is of random scores and of the choice of images.
    """

    def compute(weights: Weights, mask: Mask, initial: Weights | None = None) -> Derived:
        key = seed_key(seed, stream)
        new = prune_by_criterion(setting, weights, mask, how, key, initial=initial, sparsity=sparsity, note=stages.note)
        if empty := empty_layers(new):
            stages.note(f"nothing is left of {', '.join(empty)}; see config.prune.max_layer_sparsity")
        return Derived(mask=new)

    # The mask's own key makes every round a fresh draw.
    stream = f"prune {mask.key}" if "key" in how.row.needs else "score"
    # The rules made the mask; they do not act a second time.
    config: dict[str, Any] = {"prune": chosen(dataclasses.replace(how, rules=()))}
    if "key" in how.row.needs or how.row.sees_images:
        config["seed"] = seed
    if how.row.sees_images:
        config["data"] = setting.data_key()
    if sparsity is not None:
        config["sparsity"] = sparsity
    if source := own_code(how):
        config["source"] = source
    inputs = {"weights": weights, "mask": mask, **({"initial": initial} if initial else {})}
    label = f"{how.criterion}, seed {seed}"
    return MaskRef(derive(setting, stages, "prune", compute, inputs, config=config, label=label))
