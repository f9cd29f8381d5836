"""Masks with as many weights in every layer as another, at random places: what a mask is worth beyond its densities."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxticket.core.keys import named_key
from jaxticket.core.types import Mask
from jaxticket.lab.lab import Lab
from jaxticket.lab.stages.references import MaskRef


def shuffled(mask: Mask, key: jax.Array) -> Mask:
    """`mask` with the kept places of every leaf drawn at random among all of the leaf.

    Args:
        mask: path -> bool array.
        key: of the draw; each leaf has its own stream.
    """
    return {
        path: jax.random.permutation(named_key(key, path), jnp.asarray(kept).ravel()).reshape(kept.shape)
        for path, kept in mask.items()
    }


def random_twin(lab: Lab, mask: MaskRef, seed: int) -> MaskRef:
    """`shuffled` as a stage, a draw of its own for every mask and seed."""

    def run(folder: Path) -> tuple[list[str], dict[str, Any]]:
        lab.interrupts.check()
        key = named_key(jax.random.key(seed), f"shuffle {mask.key}")
        return lab.store_mask(folder, shuffled(mask.load(), key))

    label = f"random places, seed {seed}"
    return MaskRef(lab.cache.stage("shuffle", 1, {"seed": seed}, {"mask": mask.key}, run, label=label))
