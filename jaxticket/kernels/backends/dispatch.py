"""Which backend computes a sparse matmul, and the call of it."""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import jax
from jax import lax
from jax.export import is_symbolic_dim
from jax.sharding import AxisType
from jax.typing import ArrayLike, DTypeLike

from jaxticket.core.errors import ConfigError
from jaxticket.kernels.backends.backend import BACKENDS, Backend
from jaxticket.kernels.epilogue import Epilogue
from jaxticket.kernels.formats.conv_geometry import ConvGeometry
from jaxticket.kernels.formats.sparse_weight import SparseWeight


class Choice(NamedTuple):
    """The name of the backend that computes a matmul, and why it is that one."""

    backend: str
    reason: str


def available_backend(name: str) -> Backend:
    """The backend of that name.

    Raises:
        ConfigError: an unknown one, or one of another device.
    """
    own = jax.default_backend()
    names = sorted(backend.name for backend in BACKENDS if backend.device in (None, own))
    if name not in names:
        raise ConfigError(
            f"backend={name!r}: not available here; available: {', '.join(names)} on {own}, or None for the best"
        )
    return BACKENDS.get(name)


def choose_backend(
    name: str | None, weight: SparseWeight, dtype: DTypeLike, x: ArrayLike | None = None, images: int | None = None
) -> Choice:
    """The backend that runs: the one asked for, or where that is None one of the device's own that can, or XLA.

    Args:
        name: of a backend, or None.
        weight: the sparse weight.
        dtype: in which it computes.
        x: what it is multiplied by, for its sharding; None is anything on one device.
        images: how many a convolution of more than single pixels takes; None for a matmul.

    Raises:
        ConfigError: a backend that is not available, or one asked for that cannot do it.
    """
    if name is not None:
        reason = unsupported_reason(available_backend(name), weight, dtype, images, x)
        if reason is not None:
            raise ConfigError(f"backend={name!r}: no kernel for this product, for {reason}; give 'xla' or None")
        return Choice(name, "it was asked for")
    reasons = []
    for backend in _of_this_device():
        reason = unsupported_reason(backend, weight, dtype, images, x)
        if reason is None:
            return Choice(backend.name, "it has a kernel for this")
        reasons.append(reason)
    return Choice("xla", "; ".join(reasons) or f"there is none for {jax.default_backend()}")


def explain_backend(name: str | None, weight: SparseWeight, dtype: DTypeLike, images: int | None) -> str:
    """What computes a layer, and why, as the end of a sentence; empty where there is only XLA.

    Args:
        name: of the backend that is asked for, or None.
        weight: of the layer.
        dtype: in which it computes.
        images: as for `choose_backend`.
    """
    if name is None and not _of_this_device():
        return ""
    backend, reason = choose_backend(name, weight, dtype, images=images)
    if backend != "xla":
        return f", by the {backend} kernel"
    return f", by XLA, for {reason}" if name is None else ", by XLA"


def dispatch(
    x: jax.Array,
    weight: SparseWeight,
    epilogue: Epilogue,
    name: str | None,
    geometry: ConvGeometry | None = None,
) -> jax.Array:
    """`epilogue(x @ weight)` or `epilogue(conv(x, weight))` by the backend that `choose_backend` names.

    Where none was asked for, a program that is lowered for another device than the default one uses XLA there.

    Args:
        x: [rows, inputs], or [images, height, width, inputs] and padded; of the dtype of the weight.
        weight: [inputs, outputs], or [height, width, inputs, outputs].
        epilogue: bias, activation and dtype of the result.
        name: of the backend, or None.
        geometry: of a convolution; None for a matmul.

    Returns:
        [rows, outputs], or [images, height', width', outputs].

    Raises:
        ConfigError: as for `choose_backend`.
    """
    images = None if geometry is None else x.shape[0]
    backend = BACKENDS.get(choose_backend(name, weight, x.dtype, x, images).backend)
    run = functools.partial(_run, backend, epilogue=epilogue, geometry=geometry)
    if name is not None or backend.platform is None:
        return run(x, weight)
    by_xla = functools.partial(_run, BACKENDS.get("xla"), epilogue=epilogue, geometry=geometry)
    return lax.platform_dependent(x, weight, **{backend.platform: run}, default=by_xla)


def _run(
    backend: Backend, x: jax.Array, weight: SparseWeight, epilogue: Epilogue, geometry: ConvGeometry | None
) -> jax.Array:
    if geometry is None:
        return backend.matmul(x, weight, epilogue)
    assert backend.conv is not None  # else it would not have been chosen
    return backend.conv(x, weight, epilogue, geometry)


def _of_this_device() -> list[Backend]:
    """The backends that are taken before XLA here, the one registered last first."""
    own = jax.default_backend()
    return [backend for backend in BACKENDS if backend.device == own][::-1]


def unsupported_reason(
    backend: Backend, weight: SparseWeight, dtype: DTypeLike, images: int | None, x: ArrayLike | None = None
) -> str | None:
    """Why a backend cannot compute something, or None; the arguments are those of `choose_backend`."""
    if backend.platform is not None and x is not None and any(map(is_symbolic_dim, jax.numpy.shape(x))):
        return "the batch is of any size, and a kernel is made for one"
    reason = backend.unsupported_reason(weight, dtype, images)
    if reason is None and images is not None and backend.conv is None:
        return "it has none for convolutions"
    if reason is None and backend.platform is not None:
        return _sharding_reason(jax.tree.leaves((x, weight)))
    return reason


def _sharding_reason(arrays: Iterable[jax.Array]) -> str | None:
    """Why the sharding of arrays rules out a kernel, or None."""
    for array in arrays:
        kind = jax.typeof(array)
        if any(axis != AxisType.Manual for axis in kind.sharding.mesh.axis_types):
            return "it is spread over devices, and only inside of jax.shard_map each of them has a kernel"
        if kind.manual_axis_type.varying:
            return "jax.shard_map cannot check kernels; give it check_vma=False"
    return None
