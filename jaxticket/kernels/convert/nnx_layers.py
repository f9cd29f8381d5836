"""Flax NNX models with sparse weights: their dense and convolutional layers are replaced."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx

from jaxticket.core.types import Inputs, Path, PyTree
from jaxticket.kernels.convert.layers import run_module, shape_of_layer
from jaxticket.kernels.convert.model import Fold, LayerShapes, ModelAdapter, OnLayer, OnNorm, Runnable
from jaxticket.kernels.formats.sparse_weight import SparseWeight
from jaxticket.structure.shrink.resized import fit_nnx


def nnx_adapter(model: object, variables: PyTree, backend: str | None) -> tuple[ModelAdapter, Any] | None:
    """What an NNX module is to `sparsify`, and its state; None of anything else."""
    if not isinstance(model, nnx.Module):
        return None
    copy = nnx.clone(model)
    copy.eval()
    if variables is not None:
        nnx.update(copy, variables)
    graph, state = nnx.split(copy)

    def merged(state: PyTree) -> Any:
        return fit_nnx(nnx.merge(graph, state, copy=True))

    def sparse(state: PyTree, weights: Mapping[Path, SparseWeight], folds: Mapping[Path, Fold]) -> Runnable:
        new_graph, new = nnx.split(nnx_sparse(merged(state), weights, folds, backend))
        return Runnable(new, lambda state, x: nnx.merge(new_graph, state, copy=True)(x))

    def watched(on_layer: OnLayer, on_norm: OnNorm) -> Callable[..., Any]:
        return lambda state, x: nnx_watched(merged(state), on_layer, on_norm)(x)

    adapter = ModelAdapter(
        lambda state, x: merged(state)(x), lambda state, x: nnx_shapes(merged(state), x), sparse, watched
    )
    return adapter, state


class SparseLayer(nnx.Module):
    """An `nnx.Linear` or `nnx.Conv` with a sparse weight in its `kernel`; its other fields are the layer's."""

    def __init__(self, layer: Any, weight: SparseWeight, bias: jax.Array | None, backend: str | None = None):
        for name, value in vars(layer).items():
            if not name.startswith("_") and name not in ("kernel", "bias"):
                setattr(self, name, value)
        self.backend = backend
        self.kernel = nnx.Param(weight)
        self.bias = layer.bias if bias is None else nnx.Param(bias)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """The layer on [..., inputs], or on images."""
        bias: Any = vars(self)["bias"]
        return run_module(
            self, inputs, self.kernel.get_value(), None if bias is None else bias.get_value(), self.backend
        )


def nnx_shapes(model: nnx.Module, x: Inputs) -> LayerShapes:
    """The shapes with which the layers of an NNX model are called; nothing is computed.

    Args:
        model: an NNX module that is called with the input alone; not changed.
        x: the input, perhaps abstract.
    """
    found: LayerShapes = {}

    def listening(path: Path, layer: Any) -> Callable[[Any], Any]:
        def call(inputs: jax.Array) -> Any:
            found.setdefault(path, []).append(shape_of_layer(layer, inputs, layer.kernel.get_value()))
            return layer(inputs)

        return call

    graph, state = nnx.split(model)

    def run(state: PyTree, x: Inputs) -> Any:
        return replaced(nnx.merge(graph, state), listening)(x)

    jax.eval_shape(run, state, x)
    return found


class FoldedNorm(nnx.Module):
    """In place of a batch normalisation that has become part of the layer before it."""

    def __call__(self, x: jax.Array, **kwargs: Any) -> Any:
        """Its input."""
        del kwargs
        return x


def nnx_watched(model: nnx.Module, on_layer: OnLayer, on_norm: OnNorm) -> Any:
    """An NNX model, changed: something is in between at dense and convolutional layers and batch normalisations."""

    def layer_watched(path: Path, layer: Any) -> Callable[[Any], Any]:
        return lambda inputs: on_layer(path, layer(inputs))

    def norm_watched(path: Path, norm: Any) -> Callable[..., Any]:
        def call(x: jax.Array, **kwargs: Any) -> Any:
            # One with a mask, or with statistics that the call decides about, is left alone.
            return norm(x, **kwargs) if kwargs else on_norm(path.removesuffix("/kernel"), norm, x, norm)

        return call

    return replaced(replaced(model, layer_watched), norm_watched, (nnx.BatchNorm,))


def nnx_sparse(
    model: nnx.Module, weights: Mapping[Path, SparseWeight], folds: Mapping[Path, Fold], backend: str | None
) -> Any:
    """A copy of an NNX model with a `SparseLayer` in place of each layer whose kernel is among `weights`.

    Args:
        model: the model.
        weights: path of a kernel -> sparse weight.
        folds: path of a kernel -> the batch normalisation that is folded into it.
        backend: by which sparse layers run.
    """

    def sparse(path: Path, layer: Any) -> Any:
        if path not in weights:
            return layer
        return SparseLayer(layer, weights[path], folds[path].bias if path in folds else None, backend)

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
        parent: Any = model
        for key in path[:-1]:
            parent = _child(parent, key)
        if isinstance(path[-1], int):
            parent[path[-1]] = new(name, layer)
        else:
            setattr(parent, str(path[-1]), new(name, layer))
    return model


def _child(parent: Any, key: object) -> Any:
    return parent[key] if isinstance(key, int) else getattr(parent, str(key))
