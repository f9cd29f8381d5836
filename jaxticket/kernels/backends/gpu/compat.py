"""What JAX 0.10 and later versions name differently in kernels for NVIDIA GPUs."""

from typing import Any

import jax

from jaxticket.kernels.backends.pallas_types import Ref

_OLD = jax.__version_info__ < (0, 11)


def load_with_layout(ref: Ref, layout: Any) -> Any:
    """The contents of a reference in a layout, whether or not the load is fast."""
    from jax.experimental.pallas import mosaic_gpu as plgpu

    options = {"layout": layout, "optimized": False, **({"idx": ()} if _OLD else {})}
    return plgpu.load(ref, **options)


def transpose_ref(ref: Ref) -> Ref:
    """A reference to the transposed matrix."""
    from jax.experimental.pallas import mosaic_gpu as plgpu

    return plgpu.transpose_ref(ref, (1, 0)) if _OLD else ref.transpose((1, 0))
