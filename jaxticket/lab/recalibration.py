"""Running statistics of a pruned network, measured anew on training images, as a stage."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxticket import models
from jaxticket.core.errors import ConfigError
from jaxticket.core.keys import seed_key
from jaxticket.core.masks import apply_mask
from jaxticket.core.recalibrate import recalibrate
from jaxticket.core.types import Mask, Variables
from jaxticket.data.splits import permutation
from jaxticket.lab.derived import Bench, Derived
from jaxticket.lab.setting import Setting
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.training.state import Weights


def check_recalibrated(setting: Setting, images: int) -> None:
    """Refuses `config.recalibrate_images` that the training images or the network do not have a use for.

    Raises:
        ConfigError: naming the key.
    """
    if not images:
        return
    key, name = f"recalibrate_images={images}", setting.options.model.name
    setting.needs_memory(key, "leave it at 0")
    if not setting.shapes.model_state:
        raise ConfigError(f"config.{key}: {name} has no running statistics to measure anew; leave it at 0")
    if images > (most := setting.split_sizes[0]):
        raise ConfigError(f"config.{key}: must be at most the {most} training images")


def recalibrated(bench: Bench, weights: WeightsRef, mask: MaskRef, *, images: int, seed: int) -> WeightsRef:
    """The weights, those that the mask removes too, with running statistics of the pruned network.

    They are the averages over `images` training images, drawn by `seed`, as they are evaluated, in batches of
    `config.train.batch_size`.
    """
    setting, size = bench.setting, bench.options.train.batch_size

    def compute(weights: Weights, mask: Mask) -> Derived:
        key = seed_key(seed, "recalibrate")
        train = setting.images("train", f"recalibrate_images={images}")
        rows = permutation(train.size, int(jax.random.bits(key, dtype=jnp.uint32)))[:images]

        def apply(variables: Variables, x: jax.Array) -> tuple[Any, Variables]:
            state = {name: tree for name, tree in variables.items() if name != "params"}
            return models.apply_model(setting.model, variables["params"], state, x, train=True, key=key)

        def batches() -> Any:
            for first in range(0, images, size):
                part = train.images[rows[first : first + size]]
                yield setting.trainer.batches.for_evaluation(jnp.asarray(part))

        found = recalibrate(apply, {"params": apply_mask(weights.params, mask), **weights.model_state}, batches())
        state = {name: found[name] for name in weights.model_state}
        return Derived(Weights(weights.params, jax.device_get(state)))

    config = {**setting.batches_key(bench.options.train), "images": images, "seed": seed}
    stage = bench.derive(
        "recalibrate", compute, {"weights": weights, "mask": mask}, config=config, work=f"{images:,} images"
    )
    return WeightsRef(stage, "weights")
