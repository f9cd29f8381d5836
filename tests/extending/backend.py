"""A kernel backend: the blocks of a weight are one batched matmul, whose results are added up by output block."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket import kernels


def batched_matmul(x, weight, epilogue):
    """`epilogue(x @ weight)` [rows, outputs], of x [rows, inputs] and a `BlockSparse` weight."""
    structure = weight.structure
    outputs, inputs = np.nonzero(structure.mask.T)  # of each block: values are stored by output block
    (along, across), (depth, _) = structure.grid, structure.block
    parts = jnp.pad(x, ((0, 0), (0, along * depth - x.shape[1]))).reshape(len(x), along, depth)[:, inputs]
    dtype = kernels.accumulation_dtype(x.dtype)
    products = jnp.einsum("rbi,bio->bro", parts, weight.values, preferred_element_type=dtype)
    sums = jax.ops.segment_sum(products, outputs, across, indices_are_sorted=True)
    return epilogue(sums.transpose(1, 0, 2).reshape(len(x), -1)[:, : structure.matrix[1]])


def batched_unsupported(weight, dtype, images):
    """Why it cannot run a weight, or None; windows are added to the reasons, for there is no `conv`."""
    return None if isinstance(weight, kernels.BlockSparse) else "its weight is not stored by blocks"


kernels.register_backend(kernels.Backend("batched", batched_matmul, unsupported_reason=batched_unsupported))
