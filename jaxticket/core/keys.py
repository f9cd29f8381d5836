"""Random keys by name."""

import zlib

import jax
import numpy as np


def named_key(key: jax.Array, name: str) -> jax.Array:
    """A key of its own for every name, the same for ever: adding a name changes no other's numbers."""
    return jax.random.fold_in(key, np.uint32(zlib.crc32(name.encode())))


def seed_key(seed: int, stream: str) -> jax.Array:
    """The key of one of a seed's independent random streams."""
    return named_key(jax.random.key(seed), stream)
