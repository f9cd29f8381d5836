"""Initial weights whose layers are scaled before training, as the lab's stage does it (LRsI, Jaiswal et al. 2022)."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from jaxticket import models
from jaxticket.core.keys import seed_key
from jaxticket.core.options import chosen
from jaxticket.core.types import Mask
from jaxticket.data.splits import permutation
from jaxticket.lab.derived import Bench, Derived
from jaxticket.lab.setting import Setting
from jaxticket.lab.stage_keys import loss_key
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.recipes.learned_scales import Rescaled, rescale
from jaxticket.recipes.lrsi_options import LrsiOptions
from jaxticket.recipes.scaling import mean_cross_entropy, scaling_step
from jaxticket.training.options import TrainOptions
from jaxticket.training.state import Weights


def scaled_start(bench: Bench, start: WeightsRef, mask: MaskRef, train: TrainOptions, *, seed: int) -> WeightsRef:
    """`start` with a learned scale for each tensor, by `config.aids.rescale_init_options`; zero where pruned. A stage.

    Of `train` the batch size is used; `seed` is of the order of the images.
    """
    setting, scales = bench.setting, bench.options.aids.rescale_init_options

    def compute(start: Weights, mask: Mask) -> Derived:
        found = _rescaled(setting, start, mask, scales, train, seed_key(seed, "lrsi"))
        content = {
            "scales": found.scales,
            "constrained": int(found.constrained.sum()),
            "lowered": [float(found.lowered[0]), float(found.lowered[-1])],
        }
        return Derived(Weights(found.params, start.model_state), content=content)

    config = {**setting.batches_key(train), "scales": chosen(scales), "seed": seed}
    config |= loss_key(train)
    inputs, work = {"start": start, "mask": mask}, f"{scales.iterations} iterations"
    label = f"scales, seed {seed}"
    stage = bench.derive("lrsi", compute, inputs, config=config, label=label, work=work)
    return WeightsRef(stage, "weights")


def _rescaled(
    setting: Setting, weights: Weights, mask: Mask, options: LrsiOptions, train: TrainOptions, key: jax.Array
) -> Rescaled:
    """The weights under a mask with a learned scale for each tensor.

    The network is the plain one, its normalisations use the batch, images are not augmented, in an order by `key`.

    Raises:
        ConfigError: the images are streamed.
        TrainingError: what is lowered is no longer finite.
    """
    apply = functools.partial(_logits, setting)
    if options not in setting.scaling_steps:
        setting.scaling_steps[options] = jax.jit(scaling_step(apply, options, setting.loss_fn or mean_cross_entropy))
    count = options.iterations * (3 if options.overlap else 4)
    params = jax.tree.map(jnp.asarray, weights.params)
    batches = _batches(setting, train, key, count)
    return rescale(apply, params, mask, batches, options, step=setting.scaling_steps[options])


def _logits(setting: Setting, params: Any, x: jax.Array) -> jax.Array:
    # In training the running statistics, which differ from network to network, are not read.
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), setting.shapes.model_state)
    return models.apply_model(setting.model, params, state, x, train=True)[0]


def _batches(
    setting: Setting, train: TrainOptions, key: jax.Array, count: int
) -> Iterator[tuple[jax.Array, jax.Array]]:
    split, size = setting.images("train", "aids.rescale_init=True", "set it to False"), train.batch_size
    to_input = setting.trainer_of(train).batches.for_evaluation
    per_epoch, order = split.size // size, None
    for number in range(count):
        place = number % per_epoch
        if order is None or place == 0:
            epoch_key = jax.random.fold_in(key, number // per_epoch)
            order = permutation(split.size, int(jax.random.bits(epoch_key, dtype=jnp.uint32)))
        rows = order[place * size : (place + 1) * size]
        yield to_input(jnp.asarray(split.images[rows])), jnp.asarray(split.labels[rows])
