"""Arrays of which some elements are known, whatever the inputs of a function are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import dtypes

from jaxticket.structure.shrink.channel_marks import Marked


class Partial(NamedTuple):
    """An array of which some elements are known.

    Attributes:
        value: NumPy array; zero where it is unknown.
        unknown: bool array of the same shape.
        marked: with which channels each element is removed.
    """

    value: Any
    unknown: Any
    marked: Marked = None


def known(array: Any, marked: Marked = None) -> Partial:
    """A constant."""
    array = np.asarray(array)
    return Partial(array, np.broadcast_to(np.False_, array.shape), marked)


def unknown(shape: Sequence[int], dtype: Any, marked: Marked = None) -> Partial:
    """What depends on the input everywhere."""
    plain = np.int32 if jnp.issubdtype(dtype, dtypes.extended) else dtype
    return Partial(np.broadcast_to(np.zeros((), plain), shape), np.broadcast_to(np.True_, shape), marked)


def constant(array: Any, kind: Any) -> Partial:
    """What is known of an array that a function brings along: all of it, but nothing of random keys."""
    plain = isinstance(array, np.ndarray | np.generic | int | float | complex) or hasattr(array, "__array__")
    return known(np.asarray(array, kind.dtype)) if plain else unknown(kind.shape, kind.dtype)
