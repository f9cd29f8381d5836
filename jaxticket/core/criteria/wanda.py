"""Wanda: weights times the inputs they are multiplied with."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.checks import check_paths
from jaxticket.core.errors import MaskError
from jaxticket.core.masks import check_fit
from jaxticket.core.paths import leaves
from jaxticket.core.types import Mask, Params, Path, Scores


def wanda(params: Params, mask: Mask, input_norms: Scores) -> Scores:
    """Weights and activations: `|w| * ||x||`, x what the weight is multiplied with over all examples and positions.

    Sun et al., "A simple and effective pruning approach for large language models" (ICLR 2024), equation 1. For a
    convolution x is an input channel, whatever its position in the window. `interop.linen_inputs.input_norms` gathers
    the norms of a Flax network. The paper compares the weights of one output with each other: prune with
    scope='output' for that, or n of m along the inputs.

    Args:
        params: any pytree of arrays; kernels are laid out [..., inputs, outputs].
        mask: path -> bool array, of rank 2 or more; its paths are scored, whatever it keeps.
        input_norms: path -> float [inputs], the Euclidean norm of each input feature. A kernel of `g` groups has
            the inputs of one group on its axis, and `g` times as many norms.

    Returns:
        Path -> float32 array of the leaf's shape.

    Raises:
        MaskError: a mask that does not fit `params`, or norms that are missing or do not fit a kernel.

    Example:
        >>> params = {"fc": {"kernel": jnp.array([[1.0, -2.0], [3.0, 0.5]])}}
        >>> jt.wanda(params, jt.full_mask(params), {"fc/kernel": jnp.array([1.0, 10.0])})["fc/kernel"].tolist()
        [[1.0, 2.0], [30.0, 5.0]]
    """
    check_fit(params, mask)
    check_paths("input_norms", input_norms)
    found = leaves(params)
    for path in mask:
        _check_norms(path, np.shape(found[path]), input_norms)
    return _wanda({path: found[path] for path in mask}, {path: jnp.asarray(input_norms[path]) for path in mask})


@jax.jit
def _wanda(weights: Scores, norms: Scores) -> Scores:
    def score(weight: jax.Array, norm: jax.Array) -> jax.Array:
        *_, inputs, outputs = weight.shape
        groups = norm.size // inputs
        # Outputs lie group by group, as the inputs do.
        factors = jnp.repeat(norm.astype(jnp.float32).reshape(groups, inputs).T, outputs // groups, axis=1)
        return jnp.abs(weight.astype(jnp.float32)) * jnp.expand_dims(factors, tuple(range(weight.ndim - 2)))

    return {path: score(weight, norms[path]) for path, weight in weights.items()}


def _check_norms(path: Path, shape: tuple[int, ...], input_norms: Scores) -> None:
    if len(shape) < 2:
        raise MaskError(f"the mask has {path!r} of shape {shape}; wanda scores kernels [..., inputs, outputs] only")
    if path not in input_norms:
        raise MaskError(
            f"input_norms has no {path!r}; gather the norms of its layer, or leave the path out of the mask"
        )
    found, (*_, inputs, outputs) = np.shape(input_norms[path]), shape
    size = math.prod(found)
    if len(found) != 1 or size % inputs or not size or outputs % (size // inputs):
        raise MaskError(
            f"input_norms[{path!r}] has shape {found}, the kernel {shape}; it must be one norm for each input "
            f"feature, [{inputs}] or, with g groups, [{inputs} * g]"
        )
