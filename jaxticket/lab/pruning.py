"""From weights to a smaller mask, by any criterion."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxticket import models
from jaxticket.core import masks
from jaxticket.core.criteria import criteria
from jaxticket.core.granularities import find_granularity
from jaxticket.core.lazy import load_object
from jaxticket.core.prune import prune
from jaxticket.core.types import Batch, Mask, Params
from jaxticket.interop.linen_inputs import input_norms
from jaxticket.lab.network_slimming import slim_mask
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.scoring_batches import scoring_batches
from jaxticket.lab.setting import Setting
from jaxticket.training.state import Weights


def prune_by_criterion(
    setting: Setting,
    weights: Weights,
    mask: Mask,
    how: PruneOptions,
    key: jax.Array,
    initial: Weights | None = None,
    *,
    sparsity: float | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Mask:
    """`mask` without what the criterion of `how` ranks lowest.

    Criteria that need data see a few images per class. Of `how` the rate counts where no sparsity of the prunable set
    is given. `key` is for random scores and the choice of images, `initial` are the weights before training, and `note`
    takes a line of text where the sparsity is out of reach.
    """
    target: dict[str, Any] = {"rate": how.rate} if sparsity is None else {"sparsity": sparsity}
    criterion = how.row
    if how.ranks_scales:
        wanted = _weights_left(mask, **target)
        new, reached, exhausted = slim_mask(setting, weights, mask, how.criterion, wanted)
        for path, words in exhausted.items():
            note(f"{how.criterion}, {path}: {words}")
        if reached > wanted:
            note(
                f"{how.criterion}: {reached:,} weights are left with every channel removed that can be, not {wanted:,}"
            )
        return new
    given = _arguments(setting, weights, mask, how, key, initial)
    if criterion.prunes:
        reached = 1 - _weights_left(mask, **target) / masks.count(mask)[1] if sparsity is None else sparsity
        return load_object(criterion.prunes)(**given, sparsity=reached, rounds=how.rounds)
    if not find_granularity(how.granularity, "config.prune.granularity")[0].fixed:
        target |= {"scope": how.scope, "max_layer_sparsity": how.max_layer_sparsity}
        return prune(mask, criterion(**given), granularity=how.granularity, **target)
    return prune(mask, criterion(**given), granularity=how.granularity)


def _arguments(
    setting: Setting, weights: Weights, mask: Mask, how: PruneOptions, key: jax.Array, initial: Weights | None
) -> dict[str, Any]:
    """What the criterion is called with."""
    criterion, state = how.row, weights.model_state
    if criterion.statistics == "initial":
        state = jax.tree_util.tree_map_with_path(_initial_statistic, state)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return models.apply_model(setting.model, params, state, x, train=criterion.statistics == "batch", key=key)[0]

    def batches() -> list[Batch]:
        seed = int(jax.random.bits(key, dtype=jnp.uint32))
        others = f"use {', '.join(row.name for row in criteria if not row.sees_images)}"
        return list(scoring_batches(setting, how.images_per_class, seed, "prune.criterion", others))

    brought: dict[str, Callable[[], Any]] = {
        "key": lambda: key,
        "apply_fn": lambda: apply,
        "batches": batches,
        "loss_fn": lambda: setting.loss_fn,
        "input_shape": lambda: (1, *setting.image_shape),
        "input_norms": lambda: input_norms(apply, masks.apply_mask(weights.params, mask), batches()),
        "initial": lambda: initial and initial.params,
    }
    return {"params": weights.params, "mask": mask} | {name: brought[name]() for name in criterion.arguments}


def _weights_left(mask: Mask, *, rate: float = 0.0, sparsity: float | None = None) -> int:
    """How many weights stay."""
    kept, total = masks.count(mask)
    return kept - round(rate * kept) if sparsity is None else min(kept, total - round(sparsity * total))


def _initial_statistic(path: Any, leaf: Any) -> jax.Array:
    return jnp.ones_like(leaf) if getattr(path[-1], "key", None) == "var" else jnp.zeros_like(leaf)
