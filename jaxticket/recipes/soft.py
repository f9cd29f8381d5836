"""Soft activations that become ReLU while a network trains; their names are known without JAX."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import must_be_one_of
from jaxticket.core.registry import Registry

if TYPE_CHECKING:
    import jax


@dataclasses.dataclass(frozen=True)
class SoftActivation:
    """A smooth activation that becomes ReLU while a network trains.

    Attributes:
        name: by which `aids.activation` chooses it.
        function: (x, beta) -> its value, of the shape and dtype of x; beta is a scalar above 0.
        sharpens: whether beta rises until it is ReLU but for the rest; if not, it is blended with ReLU.
    """

    name: str
    function: "Callable[[jax.Array, jax.Array], jax.Array]"
    sharpens: bool = False


def _swish(x: "jax.Array", beta: "jax.Array") -> "jax.Array":
    import jax

    return x * jax.nn.sigmoid(beta * x)


def _of_jax(name: str, **options: Any) -> "Callable[[jax.Array, jax.Array], jax.Array]":
    def function(x: "jax.Array", beta: "jax.Array") -> "jax.Array":
        import jax

        return getattr(jax.nn, name)(x, **options)

    return function


def _lisht(x: "jax.Array", beta: "jax.Array") -> "jax.Array":
    import jax.numpy as jnp

    return x * jnp.tanh(x)


SOFT_ACTIVATIONS: Registry[SoftActivation] = Registry("soft activation", SoftActivation)


def register(activation: SoftActivation) -> SoftActivation:
    """Makes a soft activation known by its name, to `aids.activation` and to `soft_activation`.

    Raises:
        ConfigError: another one has this name.

    Example:
        >>> from jaxticket import recipes
        >>> _ = recipes.register(recipes.SoftActivation("leaky", lambda x, beta: jax.nn.leaky_relu(x)))
        >>> recipes.soft_activation(jnp.array([-1.0, 2.0]), "leaky").round(2).tolist()[1]
        2.0
    """
    return SOFT_ACTIVATIONS.register(activation)


register(SoftActivation("swish", _swish))
register(SoftActivation("pswish", _swish, sharpens=True))
register(SoftActivation("mish", _of_jax("mish")))
register(SoftActivation("gelu", _of_jax("gelu", approximate=False)))
register(SoftActivation("softplus", _of_jax("softplus")))
register(SoftActivation("elu", _of_jax("elu")))
register(SoftActivation("lisht", _lisht))


def soft_activation(x: "jax.Array", kind: str = "swish", beta: Any = 1.0, blend: Any = 0.0) -> "jax.Array":
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
    import jax
    import jax.numpy as jnp

    function = soft_kind(kind).function
    hard = jax.nn.relu(x)
    # Decided before the cast: in bfloat16 a blend just below 1 is 1.
    is_hard = jnp.asarray(blend) >= 1
    beta, blend = (jnp.asarray(number).astype(x.dtype) for number in (beta, blend))
    # Once hard, not even infinities reach the soft function: nothing times zero must stay nothing.
    soft = function(jnp.where(is_hard, jnp.zeros_like(x), x), beta)
    return jnp.where(is_hard, hard, (1 - blend) * soft + blend * hard)


def soft_kind(kind: str) -> SoftActivation:
    """The soft activation of this name.

    Raises:
        ConfigError: there is none.
    """
    if kind not in SOFT_ACTIVATIONS:
        raise ConfigError(f"kind={kind!r}: {must_be_one_of(kind, SOFT_ACTIVATIONS.names())}")
    return SOFT_ACTIVATIONS.get(kind)
