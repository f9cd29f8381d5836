"""Flax NNX models with sparse weights: their dense and convolutional layers are replaced."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx

from jaxticket.core.rules import Path
from jaxticket.kernels.calls import call_of
from jaxticket.kernels.linen import Calls, run_layer
from jaxticket.kernels.pieces import SparseWeight


class SparseLayer(nnx.Module):
    """An `nnx.Linear` or `nnx.Conv` with a sparse weight in its `kernel`; its other fields are the layer's."""

    def __init__(self, layer: Any, weight: SparseWeight):
        for name, value in vars(layer).items():
            if not name.startswith("_") and name != "kernel":
                setattr(self, name, value)
        self.kernel = nnx.Param(weight)

    def __call__(self, inputs: Any) -> jax.Array:
        """The layer on [..., inputs], or on images."""
        bias: Any = vars(self)["bias"]
        return run_layer(self, inputs, self.kernel.get_value(), None if bias is None else bias.get_value())


def nnx_calls(model: Any, x: Any) -> Calls:
    """With what the layers of an NNX model are called; nothing is computed. See `linen_calls`.

    Args:
        model: an NNX module that is called with the input alone; not changed.
        x: the input, perhaps abstract.
    """
    found: Calls = {}

    def listening(path: Path, layer: Any) -> Callable[[Any], Any]:
        def call(inputs: Any) -> Any:
            found.setdefault(path, []).append(call_of(layer, inputs, layer.kernel.get_value()))
            return layer(inputs)

        return call

    graph, state = nnx.split(model)

    def run(state: Any, x: Any) -> Any:
        return replaced(nnx.merge(graph, state), listening)(x)

    jax.eval_shape(run, state, x)
    return found


def nnx_sparse(model: Any, weights: Mapping[Path, SparseWeight]) -> Any:
    """A copy of an NNX model with a `SparseLayer` in the place of each layer whose kernel is among `weights`."""
    return replaced(
        nnx.clone(model), lambda path, layer: SparseLayer(layer, weights[path]) if path in weights else layer
    )


def replaced(model: Any, new: Callable[[Path, Any], Any]) -> Any:
    """The model, changed: every `nnx.Linear` and `nnx.Conv` is what `new(path of its kernel, layer)` returns."""
    layers = [(path, module) for path, module in nnx.iter_modules(model) if type(module) in (nnx.Linear, nnx.Conv)]
    for path, layer in layers:
        name = "/".join(str(key) for key in (*path, "kernel"))
        if not path:
            return new(name, layer)
        parent = model
        for key in path[:-1]:
            parent = _child(parent, key)
        if isinstance(path[-1], int):
            parent[path[-1]] = new(name, layer)
        else:
            setattr(parent, str(path[-1]), new(name, layer))
    return model


def _child(parent: Any, key: Any) -> Any:
    return parent[key] if isinstance(key, int) else getattr(parent, key)
