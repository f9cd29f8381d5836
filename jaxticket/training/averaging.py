"""The exponential moving average of a network's weights over the steps of its training."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxticket.core.masks import apply_mask
from jaxticket.core.types import Mask, Params, PyTree


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WeightAverage:
    """What is averaged so far; with the updates alone in it, the weights that training began with are not.

    Attributes:
        params: exactly zero where the mask is False.
        model_state: averaged likewise; what is no float in it, such as a count, is that of the last step.
        updates: int32, the number of averaged updates.
    """

    params: Params
    model_state: PyTree
    updates: jax.Array

    @classmethod
    def begin(cls, params: Params, model_state: PyTree) -> "WeightAverage":
        """Before the first update: a copy of the weights."""
        params, model_state = jax.tree.map(jnp.copy, (params, model_state))
        return cls(params, model_state, jnp.zeros((), jnp.int32))

    def after(self, params: Params, model_state: PyTree, decay: float, updated: jax.Array | bool) -> "WeightAverage":
        """The average after a step, which has `updated` the weights or only added up gradients; traced.

        It is that of `optax.ema(decay)`, bias corrected: weights of k updates ago count `decay**k`.
        """
        count = self.updates + jnp.asarray(updated, jnp.int32)
        bias = -jnp.expm1(count.astype(jnp.float32) * jnp.float32(math.log(decay)))
        share = jnp.where(updated, jnp.where(count > 1, jnp.float32(1 - decay) / bias, 1), 0)

        def mix(new: jax.Array, old: jax.Array) -> Any:
            if not jnp.issubdtype(new.dtype, jnp.floating):
                return new
            return optax.incremental_update(new, old, share.astype(new.dtype))

        params, model_state = jax.tree.map(mix, (params, model_state), (self.params, self.model_state))
        return WeightAverage(params, model_state, count)

    def masked(self, mask: Mask) -> "WeightAverage":
        """The average with zeros where `mask` is False."""
        return dataclasses.replace(self, params=apply_mask(self.params, mask))
