"""Batch normalisations that become part of the sparse layers before them, for inference."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core import paths
from jaxticket.core.types import Inputs, Path, PyTree
from jaxticket.kernels.convert.model import ArrayFn, Fold, SparseModel, Watched
from jaxticket.kernels.formats.sparse_weight import SparseWeight


def fold_batch_norms(model: SparseModel) -> SparseModel:
    """The pass that folds batch normalisations into the sparse layers before them."""
    if not model.weights:
        return model
    pairs = foldable(model.adapter.watched, model.variables, model.sample, model.weights)
    weights, folds = fold(model.variables, model.weights, pairs)
    layers = tuple(
        dataclasses.replace(layer, reason=f"{layer.reason}, with {folds[layer.path].norm} folded in")
        if layer.path in folds
        else layer
        for layer in model.report.layers
    )
    return dataclasses.replace(
        model, weights=weights, folds=folds, report=dataclasses.replace(model.report, layers=layers)
    )


def foldable(
    watched: Watched, variables: PyTree, sample: Inputs, layers: Collection[Path]
) -> dict[Path, tuple[Path, float]]:
    """The layers whose outputs go to a batch normalisation with fixed statistics and nowhere else.

    That nothing else reads them is tried, for each in turn: the normalisation gets what the layer returns and whatever
    else reads it gets NaN; the outputs of the model have to stay finite.

    Args:
        watched: runs the model with something in between.
        variables: of the model.
        sample: an input.
        layers: paths of kernels.

    Returns:
        Path of a kernel -> path of the batch normalisation and its epsilon.
    """
    outputs_of: list[tuple[Path, Any]] = []
    found: dict[Path, tuple[Path, float]] = {}
    calls: Counter[Path] = Counter()

    def note_layer(path: Path, result: jax.Array) -> jax.Array:
        calls[path] += 1
        if path in layers:
            outputs_of.append((path, result))
        return result

    def note_norm(path: Path, module: Any, x: jax.Array, call: ArrayFn) -> jax.Array:
        result = call(x)
        calls[path] += 1
        source = [layer for layer, output in outputs_of if output is x]
        fixed = module.use_running_average is True and module.axis == -1
        if source and fixed and result.dtype == x.dtype:
            found[source[0]] = path, float(module.epsilon)
        return result

    jax.eval_shape(watched(note_layer, note_norm), variables, sample)
    pairs = {layer: norm for layer, norm in found.items() if calls[layer] == calls[norm[0]] == 1}
    numbers = {layer: number for number, layer in enumerate(pairs)}

    def outputs_without(number: jax.Array, variables: PyTree, x: Inputs) -> Any:
        """The outputs of the model if only its normalisation gets what the layer of this number returns."""
        held: dict[Path, Any] = {}

        def hide(path: Path, result: jax.Array) -> jax.Array:
            if path not in pairs:
                return result
            held[pairs[path][0]] = result
            return jnp.where(number == numbers[path], jnp.full_like(result, jnp.nan), result)

        def unhide(path: Path, module: Any, x: jax.Array, call: ArrayFn) -> jax.Array:
            del module
            return call(held.pop(path, x))

        return watched(hide, unhide)(variables, x)

    outputs = jax.jit(outputs_without)

    def alone(layer: Path) -> bool:
        found = outputs(numbers[layer], variables, sample)
        return all(np.isfinite(output).all() for output in jax.tree.leaves(found))

    return {layer: norm for layer, norm in pairs.items() if alone(layer)}


def fold(
    variables: PyTree, weights: Mapping[Path, SparseWeight], pairs: Mapping[Path, tuple[Path, float]]
) -> tuple[dict[Path, SparseWeight], dict[Path, Fold]]:
    """Scales sparse weights like the batch normalisations that follow them, whose shifts become biases.

    Args:
        variables: of the model.
        weights: path of a kernel -> sparse weight.
        pairs: from `foldable`; those without a sparse weight are left alone.

    Returns:
        The weights, and path of a kernel -> what was folded into it.
    """
    arrays = paths.leaves(variables)
    scaled, folds = dict(weights), {}
    for path, (norm, epsilon) in pairs.items():
        if path not in weights:
            continue

        def array(name: str, otherwise: float = 0.0, norm: Path = norm) -> np.ndarray:
            names = [f"{prefix}{norm}/{name}" for prefix in ("params/", "batch_stats/", "")]
            stored = [arrays[name] for name in names if name in arrays]
            return np.asarray(stored[0], np.float64) if stored else np.asarray(otherwise)

        factor = array("scale", 1.0) / np.sqrt(array("var") + epsilon)
        bias = arrays.get(path.removesuffix("kernel") + "bias")
        before = 0.0 if bias is None else np.asarray(bias, np.float64)
        shift = (before - array("mean")) * factor + array("bias")
        kind = weights[path].dtype
        scaled[path] = weights[path].scaled(factor)
        folds[path] = Fold(norm, jnp.asarray(np.broadcast_to(shift, weights[path].shape[-1:]), kind))
    return scaled, folds
