"""Where a sparse product runs: the implementations there are, and the one that is taken."""

from collections.abc import Callable
from typing import Literal

import jax

from jaxticket.core.errors import ConfigError
from jaxticket.kernels import xla
from jaxticket.kernels.pieces import SparseWeight

Backend = Literal["xla", "gpu", "tpu"]
Finish = Callable[[jax.Array], jax.Array]

MATMULS: dict[str, Callable[[jax.Array, SparseWeight, Finish], jax.Array]] = {"xla": xla.matmul}
"""Backend -> (x [rows, inputs], weight, finish) -> finish(x @ weight). A kernel for a device is one more entry."""


def chosen(backend: str | None) -> str:
    """The backend that runs: the one asked for, or where that is None the device's own if there is one, or XLA.

    Raises:
        ConfigError: an unknown backend, or one that is not available.
    """
    if backend is None:
        own = jax.default_backend()
        return own if own in MATMULS else "xla"
    if backend not in MATMULS:
        raise ConfigError(
            f"backend={backend!r}: not available here; available: {', '.join(sorted(MATMULS))}, or None for the best"
        )
    return backend
