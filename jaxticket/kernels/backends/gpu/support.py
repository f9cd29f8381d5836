"""What the kernels for GPUs can compute."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxticket.kernels.formats.block_sparse import BlockSparse
from jaxticket.kernels.formats.sparse_weight import SparseWeight

# The generation whose matrix units they are written for: the first number of its compute capability.
_HOPPER = "9"
_FEWEST_IMAGES = 64


def gpu_unsupported(weight: SparseWeight, dtype: DTypeLike, images: int | None = None) -> str | None:
    """Why there is no kernel for a weight, or None; `images` of a convolution, None for a matmul."""
    if not isinstance(weight, BlockSparse):
        return "groups are dense products, which XLA does"
    capability = str(getattr(jax.devices()[0], "compute_capability", _HOPPER))
    if capability.partition(".")[0] != _HOPPER:
        return f"this GPU has compute capability {capability}, not {_HOPPER}"
    name, (inputs, outputs) = jnp.dtype(dtype).name, weight.structure.block
    if images is not None and weight.shape[2] % inputs:
        return f"its {weight.shape[2]} input channels are not whole blocks of {inputs}"
    if images is not None and images < _FEWEST_IMAGES:
        return f"{images} images are fewer than {_FEWEST_IMAGES}"
    if name not in ("bfloat16", "float16"):
        return f"{name} is neither bfloat16 nor float16"
    if inputs not in (16, 32, 64) or outputs not in (64, 128):
        return f"blocks are {inputs}x{outputs}, neither of 16, 32 or 64 inputs nor of 64 or 128 outputs"
    return None
