"""Arrays on the devices of several processes: how they are put there, and how they are read."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding

_Tree = TypeVar("_Tree")


def put_array(leaf: Any, sharding: Sharding) -> jax.Array:
    """An array or key that every process has, laid out by `sharding`; nothing is communicated."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = put_array(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    if sharding.is_fully_addressable or not getattr(leaf, "is_fully_addressable", True):
        return jax.device_put(leaf, sharding)
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])


def gather_arrays(tree: _Tree) -> _Tree:
    """The whole arrays, NumPy, in every process; all of them must call this if any part is in another one."""
    leaves = jax.tree.leaves(tree)
    if all(getattr(leaf, "is_fully_addressable", True) or leaf.is_fully_replicated for leaf in leaves):
        return jax.device_get(tree)
    return jax.tree.map(_gathered, tree)


def _gathered(leaf: Any) -> Any:
    from jax.experimental import multihost_utils

    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_gathered(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
    return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
