"""From weights to a smaller mask, by any criterion: what the lab's pruning stage does."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket import models
from jaxticket.core import masks
from jaxticket.core.criteria import magnitude, snip
from jaxticket.core.criteria.synflow import synflow_prune
from jaxticket.core.errors import ConfigError
from jaxticket.core.granularity import UNSTRUCTURED, Granularity, block, channel
from jaxticket.core.prune import prune
from jaxticket.core.types import Mask
from jaxticket.data.splits import Split, permutation
from jaxticket.lab.network_slimming import slim_mask
from jaxticket.lab.prune_options import DATA_CRITERIA, PruneOptions
from jaxticket.lab.setting import Setting
from jaxticket.training.state import Weights

_BATCH_SIZE = 256


def granularity_of(text: str) -> Granularity:
    """What `unstructured`, `channel` or `block:ROWSxCOLS` means."""
    if text == "unstructured":
        return UNSTRUCTURED
    if text == "channel":
        return channel()
    rows, cols = (int(number) for number in text.removeprefix("block:").split("x"))
    return block(rows, cols)


def pruned(
    setting: Setting,
    weights: Weights,
    mask: Mask,
    how: PruneOptions,
    key: jax.Array,
    *,
    sparsity: float | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Mask:
    """`mask` less what the criterion of `how` ranks lowest.

    Args:
        setting: the network and the data, of which criteria that need any see a few images per class.
        weights: what is scored.
        mask: path -> bool array.
        how: criterion, scope, granularity; its rate counts where no sparsity is given.
        key: for random scores and the choice of images.
        sparsity: to reach, of the prunable set.
        note: told where that is out of reach.
    """
    demand: dict[str, Any] = {"rate": how.rate} if sparsity is None else {"sparsity": sparsity}
    if how.criterion == "bn_scale":
        wanted = _weights_left(mask, demand)
        new, reached, exhausted = slim_mask(setting, weights, mask, "bn_scale", wanted)
        for path, words in exhausted.items():
            note(f"bn_scale, {path}: {words}")
        if reached > wanted:
            note(f"bn_scale: {reached:,} weights are left where every channel that can go is gone, not {wanted:,}")
        return new
    if how.criterion == "synflow":
        return _by_synflow(setting, weights, mask, how, demand)
    scores = _scores(setting, weights, mask, how, key)
    return prune(
        mask,
        scores,
        scope=how.scope,
        granularity=granularity_of(how.granularity),
        max_layer_sparsity=how.max_layer_sparsity,
        **demand,
    )


def scoring_images(split: Split, per_class: int, num_classes: int, seed: int) -> np.ndarray:
    """The rows of `per_class` images of every class, fewer where there are fewer, in random order."""
    order = permutation(split.size, seed)
    labels = split.labels[order]
    rows = [order[labels == label][:per_class] for label in range(num_classes)]
    chosen = np.concatenate(rows)
    return chosen[permutation(len(chosen), seed + 1)]


def _scores(setting: Setting, weights: Weights, mask: Mask, how: PruneOptions, key: jax.Array) -> Any:
    params = weights.params
    if how.criterion == "magnitude":
        return magnitude.magnitude(params, mask)
    if how.criterion == "random":
        return magnitude.random_scores(params, mask, key)
    if how.criterion == "lamp":
        return magnitude.lamp(params, mask)
    assert how.criterion in DATA_CRITERIA

    # Statistics of the batch, for at initialisation the running ones say nothing yet; but OBD sees images one by one.
    train = how.criterion != "obd"

    def apply(params: Any, x: jax.Array) -> jax.Array:
        return models.apply_model(setting.model, params, weights.model_state, x, train=train)[0]

    method = {"snip": snip.snip, "grasp": snip.grasp, "obd": snip.obd}[how.criterion]
    return method(apply, params, mask, list(_batches(setting, how.images_per_class, key)))


def _batches(setting: Setting, per_class: int, key: jax.Array) -> Iterator[tuple[jax.Array, jax.Array]]:
    """Normalised training images without augmentation, the same for every criterion of a seed."""
    train = setting.dataset.train
    if not isinstance(train, Split):
        raise ConfigError(
            f"config.prune.criterion: needs images in memory, and {setting.spec.name} is streamed; "
            "use magnitude, random, lamp or synflow"
        )
    seed = int(jax.random.bits(key, dtype=jnp.uint32))
    rows = scoring_images(train, per_class, setting.options.data.num_classes, seed)
    for first in range(0, len(rows), _BATCH_SIZE):
        part = rows[first : first + _BATCH_SIZE]
        images = setting.trainer.batches.for_evaluation(jnp.asarray(train.images[part]))
        yield images, jnp.asarray(train.labels[part])


def _by_synflow(setting: Setting, weights: Weights, mask: Mask, how: PruneOptions, demand: dict[str, Any]) -> Mask:
    """SynFlow chooses in rounds of its own; normalisations are the identity, as at initialisation."""
    state = jax.tree_util.tree_map_with_path(_starting_statistic, weights.model_state)

    def apply(params: Any, x: jax.Array) -> jax.Array:
        return models.apply_model(setting.model, params, state, x, train=False)[0]

    if "rate" in demand:
        demand = {"sparsity": 1 - _weights_left(mask, demand) / masks.count(mask)[1]}
    shape = (1, *setting.image_shape)
    return synflow_prune(apply, weights.params, mask, shape, rounds=how.rounds, **demand)


def _weights_left(mask: Mask, demand: dict[str, Any]) -> int:
    """How many weights a demand leaves."""
    kept, total = masks.count(mask)
    if "rate" in demand:
        return kept - round(demand["rate"] * kept)
    return min(kept, total - round(demand["sparsity"] * total))


def _starting_statistic(path: Any, leaf: Any) -> jax.Array:
    return jnp.ones_like(leaf) if getattr(path[-1], "key", None) == "var" else jnp.zeros_like(leaf)
