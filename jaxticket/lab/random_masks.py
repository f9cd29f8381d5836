"""Masks with as many weights in every layer as another, at random positions: controls for what a mask is worth."""

import jax
import jax.numpy as jnp

from jaxticket.core.keys import named_key, seed_key
from jaxticket.core.types import Mask
from jaxticket.lab.derived import Bench, Derived
from jaxticket.lab.stages.references import MaskRef


def shuffled(mask: Mask, key: jax.Array) -> Mask:
    """`mask` with the kept positions of every leaf drawn at random among all of the leaf."""
    return {
        path: jax.random.permutation(named_key(key, path), jnp.asarray(kept).ravel()).reshape(kept.shape)
        for path, kept in mask.items()
    }


def random_twin(lab: Bench, mask: MaskRef, seed: int) -> MaskRef:
    """`shuffled` as a stage, a draw of its own for every mask and seed."""

    def compute(mask: Mask) -> Derived:
        return Derived(mask=shuffled(mask, key))

    key = seed_key(seed, f"shuffle {mask.key}")
    label = f"random positions, seed {seed}"
    return MaskRef(lab.derive("shuffle", compute, {"mask": mask}, config={"seed": seed}, label=label))
