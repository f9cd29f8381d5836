"""The trees that jaxticket works on, by name. It loads no JAX, so that options can use it."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, Union

if TYPE_CHECKING:
    import jax
    import numpy as np

# `stage1_block0/conv1/kernel`: the keys from the root of a tree to a leaf, joined by slashes.
Path: TypeAlias = str
# Any pytree, of arrays unless something else is said.
PyTree: TypeAlias = Any
# Parameters: a Linen dictionary, an `nnx.State`, an Equinox module, ...; abstract arrays where shapes are enough.
Params: TypeAlias = PyTree
# All collections of a network by name: {"params": ..., "batch_stats": ...}.
Variables: TypeAlias = Mapping[str, PyTree]
# Path -> bool array, True = kept. Its paths are the prunable set.
Mask: TypeAlias = dict[Path, Any]
# Path -> float array, higher = keep, of the paths and shapes of a mask.
Scores: TypeAlias = dict[Path, Any]
# What a network is applied to: an array [batch, ...], or a tree of them.
Inputs: TypeAlias = PyTree
# A network as a function: (params, inputs) -> outputs, logits [batch, classes] unless something else is said.
ApplyFn: TypeAlias = Callable[[Params, Inputs], "jax.Array"]
# What outputs should be: integer labels [batch, ...], or for a loss of one's own any tree of arrays [batch, ...].
Targets: TypeAlias = PyTree
# A loss: (outputs, targets) -> a scalar, the mean over a batch.
LossFn: TypeAlias = Callable[[Any, Targets], "jax.Array"]
# (inputs, targets): what an `ApplyFn` and a loss take.
Batch: TypeAlias = tuple[Inputs, Targets]
Batches: TypeAlias = Iterable[Batch]
# An array of JAX, or of NumPy where it is known.
Array: TypeAlias = Union["jax.Array", "np.ndarray"]
# A scalar that may be traced.
Number: TypeAlias = Union[float, "jax.Array"]
