"""Soft activations that become ReLU while a network trains."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import must_be_one_of


def _swish(x: jax.Array, beta: jax.Array) -> jax.Array:
    return x * jax.nn.sigmoid(beta * x)


_KINDS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "swish": _swish,
    "pswish": _swish,
    "mish": lambda x, beta: jax.nn.mish(x),
    "gelu": lambda x, beta: jax.nn.gelu(x, approximate=False),
    "softplus": lambda x, beta: jax.nn.softplus(x),
    "elu": lambda x, beta: jax.nn.elu(x),
    "lisht": lambda x, beta: x * jnp.tanh(x),
}
KINDS = tuple(_KINDS)


def soft_activation(x: jax.Array, kind: str = "swish", beta: Any = 1.0, blend: Any = 0.0) -> jax.Array:
    """A smooth activation, ReLU, or what lies between: `(1 - blend) * soft(x) + blend * relu(x)`.

    Jaiswal et al., "Training Your Sparse Neural Network Better with Any Mask" (ICML 2022), train sparse networks with
    a smooth activation first and end with ReLU. `beta` and `blend` may be traced, so that a network whose activation
    changes with the step is compiled once. From `blend` 1 on value and gradient are those of `jax.nn.relu`, bit for
    bit. `annealing.soft_phase` says what both are at a step.

    Args:
        x: float, any shape.
        kind: `swish` and `pswish` are `x * sigmoid(beta * x)` (they differ in what `soft_phase` does with them), which
            is within 0.2785 / beta of ReLU; `mish`, `gelu` (the exact one), `softplus`, `elu` and `lisht`
            (`x * tanh(x)`) take no beta.
        beta: sharpness of a swish, above 0, one number.
        blend: from 0, soft, to 1, ReLU, one number.

    Returns:
        The shape and dtype of `x`.

    Raises:
        ConfigError: an unknown kind.

    Example:
        >>> from jaxticket import recipes
        >>> x = jnp.array([-1.0, 2.0])
        >>> recipes.soft_activation(x, "elu", blend=1.0).tolist()  # ReLU by then
        [0.0, 2.0]
    """
    check_kind(kind)
    hard = jax.nn.relu(x)
    # Decided before the cast: in bfloat16 a blend just below 1 is 1.
    is_hard = jnp.asarray(blend) >= 1
    beta, blend = (jnp.asarray(number).astype(x.dtype) for number in (beta, blend))
    # Once hard, not even infinities reach the soft function: nothing times zero must stay nothing.
    soft = _KINDS[kind](jnp.where(is_hard, jnp.zeros_like(x), x), beta)
    return jnp.where(is_hard, hard, (1 - blend) * soft + blend * hard)


def check_kind(kind: str) -> None:
    """Makes sure that `kind` is a soft activation.

    Raises:
        ConfigError: it is none.
    """
    if kind not in _KINDS:
        raise ConfigError(f"kind={kind!r}: {must_be_one_of(kind, KINDS)}")
