"""A granularity of one's own: all weights of some inputs in a row are removed together.

jaxticket run --config=tests/extending/granularity.py --workdir=runs
"""

import dataclasses

import jax
import jax.numpy as jnp

import jaxticket as jt
from jaxticket.experiments import default_config
from jaxticket.lab.presets import apply_preset


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Units of `number` inputs of a matrix [inputs, outputs], which `number` divides."""

    number: int

    def pool(self, kept: jax.Array, score: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Which units have a weight that is kept, bool [units], and their best scores, float32 [units]."""
        kept, score = (leaf.reshape(-1, self.number * leaf.shape[-1]) for leaf in (kept, score))
        return kept.any(1), jnp.where(kept, score, -jnp.inf).max(1)

    def expand(self, units: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """For every weight whether its unit is kept, bool of that shape."""
        return jnp.broadcast_to(jnp.repeat(units, self.number)[:, None], shape)


jt.granularities.register(jt.NamedGranularity("inputs:2", Inputs, units="groups of inputs"))


def get_config():
    config = default_config("oneshot")
    apply_preset(config, "lenet300", "digits")
    config.prune.granularity = "inputs:4"
    return config
