"""Flax NNX models with sparse weights: their dense and convolutional layers are replaced."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx

from jaxticket.core.types import Path
from jaxticket.kernels.convert.fold import Fold, OnLayer, OnNorm
from jaxticket.kernels.convert.layer_shape import call_of
from jaxticket.kernels.convert.linen import Calls, run_layer
from jaxticket.kernels.formats.sparse_weight import SparseWeight


class SparseLayer(nnx.Module):
    """An `nnx.Linear` or `nnx.Conv` with a sparse weight in its `kernel`; its other fields are the layer's."""

    def __init__(self, layer: Any, weight: SparseWeight, bias: Any = None):
        for name, value in vars(layer).items():
            if not name.startswith("_") and name not in ("kernel", "bias"):
                setattr(self, name, value)
        self.kernel = nnx.Param(weight)
        self.bias = layer.bias if bias is None else nnx.Param(bias)

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


class FoldedNorm(nnx.Module):
    """In the place of a batch normalisation that has become part of the layer before it."""

    def __call__(self, x: Any, **kwargs: Any) -> Any:
        """What it is given."""
        del kwargs
        return x


def nnx_watched(model: Any, on_layer: OnLayer, on_norm: OnNorm) -> Any:
    """An NNX model, changed: something is in between at dense and convolutional layers and batch normalisations."""

    def layer_watched(path: Path, layer: Any) -> Callable[[Any], Any]:
        return lambda inputs: on_layer(path, layer(inputs))

    def norm_watched(path: Path, norm: Any) -> Callable[..., Any]:
        def call(x: Any, **kwargs: Any) -> Any:
            # One with a mask, or with statistics that the call decides about, is left to itself.
            return norm(x, **kwargs) if kwargs else on_norm(path.removesuffix("/kernel"), norm, x, norm)

        return call

    return replaced(replaced(model, layer_watched), norm_watched, (nnx.BatchNorm,))


def nnx_sparse(model: Any, weights: Mapping[Path, SparseWeight], folds: Mapping[Path, Fold]) -> Any:
    """A copy of an NNX model with a `SparseLayer` in the place of each layer whose kernel is among `weights`.

    Args:
        model: the model.
        weights: path of a kernel -> sparse weight.
        folds: path of a kernel -> the batch normalisation that is folded into it.
    """

    def sparse(path: Path, layer: Any) -> Any:
        if path not in weights:
            return layer
        return SparseLayer(layer, weights[path], folds[path].bias if path in folds else None)

    norms = {fold.norm for fold in folds.values()}
    return replaced(
        replaced(nnx.clone(model), sparse),
        lambda path, norm: FoldedNorm() if path.removesuffix("/kernel") in norms else norm,
        (nnx.BatchNorm,),
    )


def replaced(
    model: Any, new: Callable[[Path, Any], Any], kinds: tuple[type[nnx.Module], ...] = (nnx.Linear, nnx.Conv)
) -> Any:
    """The model, changed: every layer of these classes is what `new(path of its kernel, layer)` returns."""
    layers = [(path, module) for path, module in nnx.iter_modules(model) if type(module) in kinds]
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
