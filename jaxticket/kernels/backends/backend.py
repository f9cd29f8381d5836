"""What computes sparse matmuls: the contract of a kernel backend, and the registry of those that there are."""

import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping

import jax
from jax.typing import DTypeLike

from jaxticket.core.registry import Registry
from jaxticket.kernels.backends.cost_model import Rates, SparseWork, stored_work
from jaxticket.kernels.epilogue import Epilogue
from jaxticket.kernels.formats.conv_geometry import ConvGeometry
from jaxticket.kernels.formats.sparse_weight import SparseWeight

Matmul = Callable[[jax.Array, SparseWeight, Epilogue], jax.Array]
Conv = Callable[[jax.Array, SparseWeight, Epilogue, ConvGeometry], jax.Array]


def _supports_all(weight: SparseWeight, dtype: DTypeLike, images: int | None) -> None:
    del weight, dtype, images


@dataclasses.dataclass(frozen=True)
class Backend:
    """One way to compute `epilogue(x @ weight)` and `epilogue(conv(x, weight))`; see `register_backend`.

    Attributes:
        name: by which `backend=` chooses it.
        matmul: (x [rows, inputs], weight [..., outputs], epilogue) -> [rows, outputs]. `x` and the weight have one
            float dtype; sums are in float32 or wider, the epilogue comes before the result is rounded. It can be
            differentiated in `x`, `weight` and the epilogue's bias, and mapped over axes of `x`: plain JAX can, and
            `differentiable(kernel)` makes it of a kernel that cannot.
        conv: the same of images: (x [images, height, width, inputs], padded already, weight
            [height, width, inputs, outputs], epilogue, geometry) -> [images, height', width', outputs]. None where
            there is none; windows of one pixel are matmuls.
        unsupported_reason: (weight, dtype, images of a convolution or None) -> why it cannot compute that, as the end
            of "..., for ", or None. Called outside of computations, with arrays that may be traced.
        device: the device, as `jax.default_backend()` names it, on which `backend=None` takes it before XLA; the one
            registered last comes first. None is every device, and only where it is asked for.
        platform: the platform for which its programs can be lowered, 'cuda', 'rocm', 'tpu' or 'cpu'; other ones get
            XLA, and so do arrays that are spread over devices. None for plain JAX, which runs and spreads anywhere.
        sparse_work: (layer, weight) -> how much it does of each kind of work; `tune` fits one rate to each.
        rates: device -> dtype -> rates that are known without `tune`.
    """

    name: str
    matmul: Matmul
    conv: Conv | None = None
    unsupported_reason: Callable[[SparseWeight, DTypeLike, int | None], str | None] = _supports_all
    device: str | None = None
    platform: str | None = None
    sparse_work: SparseWork = stored_work
    rates: Mapping[str, Mapping[str, Rates]] = dataclasses.field(default_factory=dict)


def _own() -> Iterator[Backend]:
    for name in ("xla", "tpu", "gpu"):
        yield importlib.import_module(f"jaxticket.kernels.backends.{name}").BACKEND


BACKENDS: Registry[Backend] = Registry("kernel backend", Backend, _own)
"""Those that `backend=` can choose."""


def register_backend(backend: Backend) -> Backend:
    """Makes a backend available to `block_matmul`, `block_conv`, `sparsify` and `tune`, and returns it.

    Raises:
        ConfigError: there is another of that name.

    Example:
        >>> from jaxticket import kernels
        >>> def unpacked(x, weight, epilogue):
        ...     return epilogue(jnp.dot(x, weight.to_dense(), preferred_element_type=jnp.float32))
        >>> backend = kernels.register_backend(kernels.Backend("unpacked", unpacked))
        >>> weight = jt.BlockSparse.from_dense(jnp.eye(4), block=(2, 2))
        >>> jt.block_matmul(jnp.arange(4.0), weight, backend="unpacked")
        Array([0., 1., 2., 3.], dtype=float32)
    """
    return BACKENDS.register(backend)
