"""Networks as Linen modules: those of the package, and NNX ones; every network is called with (x, train)."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn
from flax import nnx

from jaxticket.models.architecture import Architecture
from jaxticket.models.layers import Activation, Layers


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


def is_nnx(factory: object) -> bool:
    """Whether this is a class of NNX modules."""
    return isinstance(factory, type) and issubclass(factory, nnx.Module)


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


@functools.cache
def takes_train(kind: type) -> bool:
    """Whether modules of this class are called with `train` too."""
    parameters = inspect.signature(kind.__call__).parameters.values()
    return any(p.name == "train" or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def _call_nnx(module: Any, x: jax.Array, *, train: bool) -> Any:
    (module.train if train else module.eval)()
    return module(x, train=train) if takes_train(type(module)) else module(x)
