"""Where a sparse product runs: the implementations there are, and the one that is taken."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
from jax import lax
from jax.sharding import AxisType

from jaxticket.core.errors import ConfigError
from jaxticket.kernels import autodiff
from jaxticket.kernels.backends.gpu import conv as gpu_conv
from jaxticket.kernels.backends.gpu import matmul as gpu_matmul
from jaxticket.kernels.backends.tpu import matmul as tpu_matmul
from jaxticket.kernels.backends.xla import conv as xla_conv
from jaxticket.kernels.epilogue import Finish
from jaxticket.kernels.formats.block_sparse import BlockSparse
from jaxticket.kernels.formats.conv_geometry import Moves
from jaxticket.kernels.formats.sparse_weight import SparseWeight

Backend = Literal["xla", "gpu", "tpu"]


class Kernel(NamedTuple):
    """A kernel for one kind of device.

    Attributes:
        platform: the name by which JAX lowers programs for it.
        why_not: (structure, dtype) -> why it cannot take a weight, or None.
        run: the kernel.
        why_not_conv: (structure, dtype, images) -> why it cannot take a weight for a convolution, or None.
        run_conv: the kernel for convolutions; None where there is none.
    """

    platform: str
    why_not: Callable[[Any, Any], str | None]
    run: autodiff.Run
    why_not_conv: Callable[[Any, Any, int], str | None] | None = None
    run_conv: autodiff.Run | None = None


class Choice(NamedTuple):
    """The backend that runs a product, and why it is that one."""

    backend: str
    reason: str


KERNELS = {
    "gpu": Kernel("cuda", gpu_matmul.why_not, gpu_matmul.product, gpu_conv.why_not, gpu_conv.product),
    "tpu": Kernel("tpu", tpu_matmul.why_not, tpu_matmul.product),
}
"""Backend, as `jax.default_backend` names it -> its kernel."""

# Whose matrix units the GPU kernel is written for; the first number of the compute capability.
_HOPPER = "9"


def checked(backend: str | None) -> None:
    """Refuses a backend that is not here.

    Raises:
        ConfigError: an unknown backend, or the kernel of another device.
    """
    own = jax.default_backend()
    available = sorted({"xla", own} & {"xla", *KERNELS})
    if backend is not None and backend not in available:
        raise ConfigError(
            f"backend={backend!r}: not available here; available: {', '.join(available)} on {own}, or None for the best"
        )


def choose(backend: str | None, weight: SparseWeight, dtype: Any, x: Any = None, images: int | None = None) -> Choice:
    """The backend that runs: the one asked for, or where that is None the device's own kernel if it can, or XLA.

    Args:
        backend: 'xla', 'gpu', 'tpu' or None.
        weight: the sparse weight.
        dtype: in which it computes.
        x: what it is multiplied by, of which it matters where it lies; None is anything on one device.
        images: how many a convolution of more than single pixels acts on; None for a product of matrices.

    Raises:
        ConfigError: a backend that is not available, or a kernel asked for that cannot take the weight.
    """
    checked(backend)
    own = jax.default_backend()
    if backend == "xla":
        return Choice("xla", "it was asked for")
    reason = _why_not(own, weight, dtype, images) or _spread((x, weight))
    if reason is None:
        return Choice(own, "it has a kernel for this")
    if backend is not None:
        raise ConfigError(f"backend={backend!r}: no kernel for this product, for {reason}; give 'xla' or None")
    return Choice("xla", reason)


def runs_by(weight: SparseWeight, dtype: Any, images: int | None) -> str:
    """What computes a layer on this device, and why, as the end of a sentence; nothing where there is only XLA.

    Args:
        weight: of the layer.
        dtype: in which it computes.
        images: as for `choose`.
    """
    if jax.default_backend() not in KERNELS:
        return ""
    backend, reason = choose(None, weight, dtype, images=images)
    return f", by XLA, for {reason}" if backend == "xla" else f", by the {backend} kernel"


def product(
    x: jax.Array, weight: SparseWeight, finish: Finish, backend: str | None, moves: Moves | None = None
) -> jax.Array:
    """`finish(x @ weight)` or `finish(conv(x, weight))` by the backend that `choose` names.

    Where none was asked for, a program that is lowered for another device than the default one uses XLA there.

    Args:
        x: [rows, inputs], or [images, height, width, inputs] and padded; of the dtype of the weight.
        weight: [inputs, outputs], or [height, width, inputs, outputs].
        finish: what is done with the product.
        backend: 'xla', 'gpu', 'tpu' or None.
        moves: of the window of a convolution; None for a product of matrices.

    Returns:
        [rows, outputs], or [images, height', width', outputs].

    Raises:
        ConfigError: as for `choose`.
    """
    name = choose(backend, weight, x.dtype, x, images=None if moves is None else x.shape[0]).backend

    def plain(x: jax.Array, weight: SparseWeight) -> jax.Array:
        return xla_conv.product(x, weight, finish, moves)

    if name == "xla" or not isinstance(weight, BlockSparse):
        return plain(x, weight)
    kernel = KERNELS[name]
    run = kernel.run if moves is None else kernel.run_conv
    assert run is not None  # else XLA would have been chosen

    def by_kernel(x: jax.Array, weight: BlockSparse) -> jax.Array:
        return autodiff.product(x, weight, finish, run, moves)

    if backend is not None:
        return by_kernel(x, weight)
    return lax.platform_dependent(x, weight, **{kernel.platform: by_kernel}, default=plain)


def _why_not(own: str, weight: SparseWeight, dtype: Any, images: int | None) -> str | None:
    """Why the kernel of this device cannot be used; None where it can."""
    if own not in KERNELS:
        return f"there is none for {own}"
    if not isinstance(weight, BlockSparse):
        return "groups are dense products, which XLA does"
    capability = str(getattr(jax.devices()[0], "compute_capability", _HOPPER))
    if own == "gpu" and capability.partition(".")[0] != _HOPPER:
        return f"this GPU has compute capability {capability}, not {_HOPPER}"
    kernel = KERNELS[own]
    if images is None:
        return kernel.why_not(weight.structure, dtype)
    if kernel.why_not_conv is None:
        return f"there is none for convolutions on {own}"
    return kernel.why_not_conv(weight.structure, dtype, images)


def _spread(arrays: Any) -> str | None:
    """Why no kernel can take arrays that lie where they do; None where one can."""
    for array in jax.tree.leaves(arrays):
        kind = jax.typeof(array)
        if any(axis != AxisType.Manual for axis in kind.sharding.mesh.axis_types):
            return "it is spread over devices, and only inside of jax.shard_map each of them has a kernel"
        if kind.manual_axis_type.varying:
            return "jax.shard_map cannot check kernels; give it check_vma=False"
    return None
