"""Initial weights: Linen initialisers that can share one random draw, and the named schemes built of them.

An initialiser here is a function of (key, shape, dtype), as everywhere in Flax. Called by itself it draws
from its key. Inside `sharing` it takes the next numbers of one flat draw instead: XLA compiles every shape
of a random draw anew, which for a network takes longer than compiling its training step, and one flat draw
has one shape.
"""

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax.extend.core import get_opaque_trace_state

from jaxticket.core.errors import JaxticketError

Shape = Sequence[int]


class Initializer(Protocol):
    """A function that makes a leaf."""

    def __call__(self, key: jax.Array, shape: Shape, dtype: Any = jnp.float32) -> jax.Array:
        """An array of `shape` and `dtype`."""
        ...


# The distributions from which every leaf is built by scaling: float32, the second on [-1, 1).
_DRAWS: dict[str, Callable[[jax.Array, Shape], jax.Array]] = {
    "normal": lambda key, shape: jax.random.normal(key, shape, jnp.float32),
    "uniform": lambda key, shape: jax.random.uniform(key, shape, jnp.float32, -1.0, 1.0),
}


class SharedDraw:
    """The numbers that the initialisers of one model take from, in the order in which they are called.

    Without a key it hands out zeros and only counts, for a first, abstract pass.

    Attributes:
        taken: distribution -> how many numbers were handed out so far.
    """

    def __init__(self, key: jax.Array | None = None, sizes: dict[str, int] | None = None) -> None:
        self.taken = dict.fromkeys(_DRAWS, 0)
        self._flat: dict[str, jax.Array] | None = None
        if key is not None:
            keys = jax.random.split(key, len(_DRAWS))
            sizes = sizes or {}
            self._flat = {kind: draw(keys[i], (sizes.get(kind, 0),)) for i, (kind, draw) in enumerate(_DRAWS.items())}
        self._trace = get_opaque_trace_state(convention="flax")

    def serves_here(self) -> bool:
        """Whether the caller is in the transformation in which this was built.

        Inside a `vmap` or `scan` over layers one call stands for many leaves, which must not share one slice.
        """
        return get_opaque_trace_state(convention="flax") == self._trace

    def take(self, kind: str, shape: Shape) -> jax.Array:
        """The next numbers of a distribution, as an array of `shape`."""
        start, size = self.taken[kind], math.prod(shape)
        self.taken[kind] = start + size
        if self._flat is None:
            return jnp.zeros(shape, jnp.float32)
        return self._flat[kind][start : start + size].reshape(shape)


_shared: contextvars.ContextVar[SharedDraw | None] = contextvars.ContextVar("shared_draw", default=None)


@contextlib.contextmanager
def sharing(draw: SharedDraw) -> Iterator[SharedDraw]:
    """Within this context the initialisers of this module take from `draw`."""
    token = _shared.set(draw)
    try:
        yield draw
    finally:
        _shared.reset(token)


def _numbers(kind: str, key: jax.Array, shape: Shape) -> jax.Array:
    shared = _shared.get()
    if shared is not None and shared.serves_here():
        return shared.take(kind, shape)
    return _DRAWS[kind](key, shape)


def fans(shape: Shape) -> tuple[int, int]:
    """Inputs and outputs of one unit of a kernel [..., inputs, outputs], window included.

    A kernel of a grouped convolution has the inputs of one group, so fan-in counts what a unit sees.

    Raises:
        JaxticketError: the shape is not a kernel's.
    """
    if len(shape) < 2:
        raise JaxticketError(f"a leaf of shape {tuple(shape)} has no fan-in; kernels have at least 2 axes")
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def normal(stddev: float) -> Initializer:
    """N(0, stddev^2), not truncated."""

    def init(key: jax.Array, shape: Shape, dtype: Any = jnp.float32) -> jax.Array:
        return (stddev * _numbers("normal", key, shape)).astype(dtype)

    return init


def uniform(limit: float) -> Initializer:
    """U(-limit, limit)."""

    def init(key: jax.Array, shape: Shape, dtype: Any = jnp.float32) -> jax.Array:
        return (limit * _numbers("uniform", key, shape)).astype(dtype)

    return init


def glorot_normal(key: jax.Array, shape: Shape, dtype: Any = jnp.float32) -> jax.Array:
    """N(0, 2 / (fan_in + fan_out)) for a kernel (Glorot and Bengio 2010), not truncated."""
    return normal(math.sqrt(2 / sum(fans(shape))))(key, shape, dtype)


def he_normal(key: jax.Array, shape: Shape, dtype: Any = jnp.float32) -> jax.Array:
    """N(0, 2 / fan_out) for a kernel (He et al. 2015, eq. 14), not truncated."""
    return normal(math.sqrt(2 / fans(shape)[1]))(key, shape, dtype)


def he_normal_fan_in(key: jax.Array, shape: Shape, dtype: Any = jnp.float32) -> jax.Array:
    """N(0, 2 / fan_in) for a kernel (He et al. 2015, eq. 10), not truncated."""
    return normal(math.sqrt(2 / fans(shape)[0]))(key, shape, dtype)


def torch_uniform(key: jax.Array, shape: Shape, dtype: Any = jnp.float32) -> jax.Array:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for a kernel: what PyTorch's layers start from."""
    return uniform(1 / math.sqrt(fans(shape)[0]))(key, shape, dtype)


def zeros(key: jax.Array, shape: Shape, dtype: Any = jnp.float32) -> jax.Array:
    """All zeros."""
    del key
    return jnp.zeros(shape, dtype)


@dataclasses.dataclass(frozen=True)
class Scheme:
    """How the layers of a network start.

    Attributes:
        kernel: initialiser of kernels.
        bias: fan-in of the kernel -> initialiser of the bias next to it.
    """

    kernel: Initializer
    bias: Callable[[int], Initializer]


SCHEMES: dict[str, Scheme] = {
    # Frankle and Carbin 2019, figure 2: Gaussian Glorot for LeNet and Conv-2.
    "glorot_normal": Scheme(glorot_normal, lambda fan_in: zeros),
    "he_normal": Scheme(he_normal, lambda fan_in: zeros),
    "he_normal_fan_in": Scheme(he_normal_fan_in, lambda fan_in: zeros),
    "gaussian_0.01": Scheme(normal(0.01), lambda fan_in: zeros),
    "gaussian_0.02": Scheme(normal(0.02), lambda fan_in: zeros),
    "torch": Scheme(torch_uniform, lambda fan_in: uniform(1 / math.sqrt(fan_in))),
}
