"""Names for what Pallas gives to kernels, which has no types of its own."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax

# A reference to an array in some memory, or to barriers.
Ref: TypeAlias = Any
# How a kernel is simulated on a CPU; False or None is not at all.
Interpret: TypeAlias = Any
# (x, input block, tile of rows) -> the part of `x` that belongs to both.
Source: TypeAlias = Callable[[Ref, jax.Array, jax.Array], Ref]
