"""What JAX 0.10 and later versions call by other names in kernels for NVIDIA GPUs."""

from typing import Any

import jax

_OLD = jax.__version_info__ < (0, 11)


def load(ref: Any, layout: Any) -> Any:
    """The contents of a reference in a layout, loaded in any way that there is."""
    from jax.experimental.pallas import mosaic_gpu as plgpu

    how = {"layout": layout, "optimized": False, **({"idx": ()} if _OLD else {})}
    return plgpu.load(ref, **how)


def transposed(ref: Any) -> Any:
    """A reference to a matrix with its axes exchanged."""
    from jax.experimental.pallas import mosaic_gpu as plgpu

    return plgpu.transpose_ref(ref, (1, 0)) if _OLD else ref.transpose((1, 0))
