"""A kernel as a matrix of output channels by inputs, on the host."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core.checks import check_paths
from jaxticket.core.errors import MaskError
from jaxticket.core.masks import check_fit, is_traced, sharding_of
from jaxticket.core.types import Mask, Path


def to_matrix(leaf: Any) -> np.ndarray:
    """A kernel [*space, inputs, outputs] as [outputs, inputs * space], the inputs slowest.

    It is the order of a PyTorch kernel with its output channels as rows: column `i * kh * kw + y * kw + x` of a
    convolution [kh, kw, inputs, outputs]. A depthwise kernel [kh, kw, 1, C] gives [C, kh * kw].

    Args:
        leaf: array of rank two or more.

    Example:
        >>> from jaxticket import structure
        >>> structure.to_matrix(np.zeros((3, 3, 16, 32))).shape
        (32, 144)
    """
    array = np.asarray(leaf)
    rank = array.ndim
    return np.ascontiguousarray(array.transpose(rank - 1, rank - 2, *range(rank - 2)).reshape(array.shape[-1], -1))


def from_matrix(matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `to_matrix` for a kernel of this shape.

    Example:
        >>> from jaxticket import structure
        >>> structure.from_matrix(np.zeros((32, 144)), (3, 3, 16, 32)).shape
        (3, 3, 16, 32)
    """
    *space, inputs, outputs = shape
    array = matrix.reshape(outputs, inputs, *space)
    return np.ascontiguousarray(array.transpose(*range(2, len(shape)), 1, 0))


def mask_matrices(mask: Mask) -> dict[Path, np.ndarray]:
    """Every leaf of a mask as a bool matrix [outputs, inputs * space], by path in sorted order.

    Raises:
        MaskError: no leaves, a leaf that is not a boolean kernel with weights, or a traced one.
    """
    check_paths("the mask", mask)
    if not mask:
        raise MaskError("the mask has no leaves, so there is nothing to structure; see full_mask and its rules")
    if is_traced(mask):
        raise MaskError("the mask is traced, masks are structured on the host; do it outside of jit and vmap")
    check_fit(mask, mask)
    for path, kept in sorted(mask.items()):
        if len(np.shape(kept)) < 2 or 0 in np.shape(kept):
            raise MaskError(
                f"mask[{path!r}] has shape {np.shape(kept)}; structure needs kernels with an input and an output axis "
                "and at least one weight, so leave it out of the mask"
            )
    return {path: to_matrix(mask[path]) for path in sorted(mask)}


def masks_of(matrices: dict[Path, np.ndarray], like: Mask) -> Mask:
    """Matrices as a mask of the shapes of `like`, spread over devices as it is."""
    new = {}
    for path, matrix in matrices.items():
        kept = jnp.asarray(from_matrix(matrix, np.shape(like[path])))
        spread = sharding_of(like[path])
        new[path] = kept if spread is None else jax.device_put(kept, spread)
    return new


def density(kept: np.ndarray) -> float:
    """The share of True."""
    return np.count_nonzero(kept) / math.prod(kept.shape)
