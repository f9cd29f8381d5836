"""Networks as Linen modules: those of the package, and NNX ones; all are called alike, whatever their calls take."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn
from flax import nnx

from jaxticket.core.checks import shown
from jaxticket.core.errors import ConfigError
from jaxticket.models.architecture import Architecture
from jaxticket.models.layers import Activation, Layers
from jaxticket.models.network_row import MODES
from jaxticket.tracing.linen import audible


class LinenNetwork(nn.Module):
    """A network of the package.

    Attributes:
        network: its options and layers.
        num_classes: the number of logits.
    """

    network: Architecture
    num_classes: int

    @property
    def activation(self) -> str | Activation:
        """The nonlinearity, by name or as a function."""
        return self.network.activation

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits float32 [B, num_classes] of images float [B, H, W, C]."""
        layers = Layers.of(self.network, num_classes=self.num_classes, train=train, param=self.param)
        return self.network(layers, x)


class NNXNetwork(nnx.bridge.ToLinen):
    """An NNX network as a Linen module; its variables have the paths that they have in NNX."""

    def __call__(self, x: jax.Array, train: bool = False) -> Any:
        """What the NNX module returns, in its training or its evaluation mode."""
        return super().__call__(x, nnx_method=functools.partial(_call_nnx, train=train))


def from_nnx(factory: Callable[..., nnx.Module], arguments: dict[str, Any]) -> NNXNetwork:
    """The Linen module of `factory(**arguments, rngs=...)`."""
    return NNXNetwork(factory, kwargs=nn.FrozenDict(arguments), metadata_fn=None)


def checked_module(made: object, name: str) -> nn.Module:
    """What the class or function of a network made, where that is a Linen module.

    Raises:
        ConfigError: it is not; NNX modules come through `from_nnx`.
    """
    if isinstance(made, nn.Module):
        return made
    if isinstance(made, nnx.Module):
        raise ConfigError(f"network {name!r}: takes no rngs, from which NNX networks draw their initial weights")
    raise ConfigError(
        f"network {name!r}: must be a class of Linen or NNX modules, or a function that returns one; got {shown(made)}"
    )


def with_activation(model: nn.Module, activation: Activation) -> nn.Module:
    """The same network with another nonlinearity, of the same variables.

    Args:
        model: a network with an option `activation`.
        activation: any function of one array.
    """
    if isinstance(model, LinenNetwork):
        return model.clone(network=dataclasses.replace(model.network, activation=activation))
    if isinstance(model, NNXNetwork):
        return model.clone(kwargs=nn.FrozenDict({**model.kwargs, "activation": activation}))
    return model.clone(activation=activation)


def in_mode(model: nn.Module, *, train: bool) -> tuple[nn.Module, dict[str, Any]]:
    """The network for training or for evaluation, and the keyword arguments that its call takes for that.

    Which it is may be an argument of the call, or a field of the module, by any of the names in `MODES`.
    """
    arguments = _modes_of_call(type(model))
    fields = {field.name for field in dataclasses.fields(model)} & MODES.keys() - {*arguments}
    if fields:
        told: dict[str, Any] = {name: train is MODES[name] for name in fields}
        model = model.clone(**told)
    return model, {name: train is MODES[name] for name in arguments}


def random_streams(key: jax.Array | None = None) -> dict[str, jax.Array]:
    """The streams from which a network draws, of which Linen and NNX take one each for all that have no own."""
    params, default = jax.random.split(jax.random.key(0) if key is None else key)
    return {"params": params, "default": default}


@functools.cache
def _modes_of_call(kind: type) -> tuple[str, ...]:
    """The names by which modules of this class are told in their call whether they train."""
    return tuple(name for name in MODES if name in inspect.signature(kind.__call__).parameters)


def _call_nnx(module: Any, x: jax.Array, *, train: bool) -> Any:
    (module.train if train else module.eval)()
    with audible(module):
        return module(x, **{name: train is MODES[name] for name in _modes_of_call(type(module))})
