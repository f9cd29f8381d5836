"""A masked model that runs sparse where that is faster, and computes the same."""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core import paths
from jaxticket.core.checks import check_number
from jaxticket.core.errors import MaskError
from jaxticket.core.masks import apply_mask, is_traced
from jaxticket.core.types import Mask, Path
from jaxticket.kernels.convert.choose_format import decide
from jaxticket.kernels.convert.device_rates import Timings, known_timings, least_seconds
from jaxticket.kernels.convert.fold import Fold, OnLayer, OnNorm, Watched, fold, foldable
from jaxticket.kernels.convert.layer_shape import Call
from jaxticket.kernels.convert.reorder import reorder as put_in_order
from jaxticket.kernels.convert.report import LayerReport, Sparsified, SparsifyReport
from jaxticket.kernels.formats.block_sparse import check_block
from jaxticket.kernels.formats.sparse_weight import SparseWeight
from jaxticket.structure.shrink.report import ShrinkReport
from jaxticket.structure.shrink.resized import fit_nnx
from jaxticket.structure.shrink.shrink import shrink as cut_channels
from jaxticket.structure.shrink.slicing import full_paths

# How far outputs may differ, relative to the largest: rounding through a deep network in the dtype it computes in.
_TOLERANCES = {"float64": 1e-4, "float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}
_ROUNDS = 7
# What takes this share of the time of another is faster than it, and not by chance.
_AS_FAST = 0.95

Weights = Mapping[Path, SparseWeight]


class _Model(NamedTuple):
    """What Linen and NNX models have in common here."""

    apply: Callable[..., Any]
    calls: Callable[[Any, Any], dict[Path, list[Call | str]]]
    """(variables, x) -> the calls of each layer."""
    sparse: Callable[[Any, Weights, Mapping[Path, Fold]], tuple[Any, Callable[..., Any]]]
    """(variables, weights, what is folded into them) -> variables with them, and the function that takes those."""
    watched: Watched
    """What finds batch normalisations to fold."""


def sparsify(
    model: Any,
    variables: Any,
    mask: Mask,
    sample: Any,
    *,
    block: tuple[int, int] = (16, 128),
    min_speedup: float = 1.05,
    shrink: bool = True,
    reorder: bool = False,
    fold_norms: bool = False,
    measure: bool = False,
    check_speed: bool = True,
    timings: Timings | None = None,
) -> Sparsified:
    """Makes a masked Flax model run sparse where that is predicted to be faster; the rest of it stays dense.

    Channels without any weight are cut out first. Then every masked kernel of a dense or convolutional layer takes the
    fastest of its sparse forms, `BlockSparse` and `DenseGroups`, if what is known of this device says that it is at
    least `min_speedup` times as fast as the dense layer on an input like `sample`. At last the outputs on `sample` are
    compared with those of the masked dense model, and so are the times they take: if the model is slower with its
    sparse layers, they stay dense, and if it is slower without its dead channels, they stay too. Single scattered
    weights make nothing faster: prune blocks (`granularity=jt.block(16, 128)`) or channels, or regroup.

    Args:
        model: a Linen or NNX module that is called with the input alone, in the way it is used for inference.
        variables: Linen's variables (`{"params": ..., "batch_stats": ...}`); for NNX an `nnx.State` of the model, or of
            a part of it such as its parameters, or None for those that it has. Concrete arrays; they are not changed.
        mask: path -> bool array, True = kept; the paths may lack the leading `params/`.
        sample: an input of the size that is to be fast.
        block: (inputs, outputs) of the blocks; best those of the pruner. Those of 16x128 are tried besides.
        min_speedup: by how much a sparse layer must be faster; 0 converts all that can be, and leaves it so.
        shrink: whether channels are cut out.
        reorder: whether channels are put in an order in which scattered ones fill fewer blocks. Of use where whole
            channels read the same few others without being next to each other; takes seconds for a large network.
        fold_norms: whether a batch normalisation that alone reads the output of a sparse layer becomes part of its
            weights and bias. For inference: there is nothing left of it to train.
        measure: also measures every layer that seems worth it, and keeps it dense if it is not faster by `min_speedup`
            in fact. Takes a second or two for each.
        check_speed: whether the whole model is measured at the end, in a few calls; without it predictions decide.
        timings: what layers cost on this device, from `jaxticket.kernels.tune`; None takes `known_timings()`.

    Returns:
        The sparse model.

    Raises:
        MaskError: a model of another kind, a mask that does not fit, traced arguments, a `min_speedup` below zero, or
            outputs that differ.
    """
    if is_traced((variables, mask, sample)):
        raise MaskError("the variables, the mask or the sample are traced; call sparsify outside of jit")
    check_number("min_speedup", min_speedup, 0, sys.float_info.max)
    check_block(block)
    found, variables = _linen(model, variables) or _nnx(model, variables) or _refuse(model)
    mask = full_paths(variables, mask)
    masked = apply_mask(variables, mask)
    small, shrunk = _shrunk(found.apply, masked, mask, sample) if shrink else (masked, "not asked to shrink")
    blocks = None
    if reorder:
        small, blocks = put_in_order(found.apply, small, mask, sample, block)
    calls, leaves, timings = found.calls(small, sample), paths.leaves(small), timings or known_timings()
    layers: list[LayerReport] = []
    weights: dict[Path, SparseWeight] = {}
    for path in sorted(mask):
        weight, report = decide(
            path,
            leaves[path],
            calls.get(path, []),
            block=block,
            min_speedup=min_speedup,
            timings=timings,
            measure=measure,
        )
        layers.append(report)
        if weight is not None:
            weights[path] = weight

    folds: dict[Path, Fold] = {}
    if fold_norms and weights:
        weights, folds = fold(small, weights, foldable(found.watched, small, sample, weights))
        layers = [
            dataclasses.replace(layer, reason=f"{layer.reason}, with {folds[layer.path].norm} folded in")
            if layer.path in folds
            else layer
            for layer in layers
        ]
    dense = jax.jit(found.apply)
    new, apply = found.sparse(small, weights, folds)
    sparse = jax.jit(apply)
    difference = _difference(dense(masked, sample), sparse(new, sample), calls)
    seconds = None
    if measure or (check_speed and min_speedup > 0 and (weights or small is not masked)):
        plain, plainly = found.sparse(small, {}, {})  # what is left without the sparse layers
        contenders = [lambda: dense(masked, sample), lambda: sparse(new, sample)]
        if weights and small is not masked:
            jitted = jax.jit(plainly)
            contenders.append(lambda: jitted(plain, sample))
        times = least_seconds(contenders, _ROUNDS)
        without = times[0] if small is masked else times[-1]
        seconds = times[0], times[1]
        if weights and min_speedup > 0 and times[1] > without:
            layers = [_as_dense(layer) for layer in layers]
            new, apply, seconds = plain, plainly, (times[0], without)
        # Odd numbers of channels can be slower than more of them.
        if small is not masked and min_speedup > 0 and times[0] < _AS_FAST * seconds[1]:
            layers = [_as_dense(layer) for layer in layers]
            new, apply = found.sparse(masked, {}, {})
            shrunk, blocks, seconds = "the smaller model was slower", None, (times[0], times[0])
    return Sparsified(
        new, apply, SparsifyReport(tuple(layers), shrunk, (_bytes(variables), _bytes(new)), difference, seconds, blocks)
    )


def _linen(model: Any, variables: Any) -> tuple[_Model, Any] | None:
    from flax import linen as nn

    from jaxticket.kernels.convert.linen import linen_calls, linen_sparse, linen_watched
    from jaxticket.structure.shrink.resized import resized

    if not isinstance(model, nn.Module):
        return None
    if not isinstance(variables, Mapping) or "params" not in variables:
        raise MaskError(
            "the variables of a Linen model have 'params'; give {'params': params, **the other collections}"
        )
    apply = resized(lambda variables, *inputs, **how: model.apply(variables, *inputs, **how))

    def sparse(variables: Any, weights: Weights, folds: Mapping[Path, Fold]) -> tuple[Any, Callable[..., Any]]:
        new = paths.replace(variables, weights)
        for path, one in folds.items():
            *parents, _ = path.split("/")
            node = new
            for name in parents:
                node = node[name]
            node["bias"] = one.bias
        return new, linen_sparse(apply, {one.norm for one in folds.values()})

    def watched(on_layer: OnLayer, on_norm: OnNorm) -> Callable[..., Any]:
        return linen_watched(apply, on_layer, on_norm)

    return _Model(apply, lambda variables, x: linen_calls(apply, variables, x), sparse, watched), variables


def _nnx(model: Any, variables: Any) -> tuple[_Model, Any] | None:
    from flax import nnx

    from jaxticket.kernels.convert.nnx_layers import nnx_calls, nnx_sparse, nnx_watched

    if not isinstance(model, nnx.Module):
        return None
    copy = nnx.clone(model)
    copy.eval()
    if variables is not None:
        nnx.update(copy, variables)
    graph, state = nnx.split(copy)

    def merged(graph: Any, state: Any) -> Any:
        return fit_nnx(nnx.merge(graph, state, copy=True))

    def sparse(state: Any, weights: Weights, folds: Mapping[Path, Fold]) -> tuple[Any, Callable[..., Any]]:
        graph_of_it, new = nnx.split(nnx_sparse(merged(graph, state), weights, folds))
        return new, lambda state, x: nnx.merge(graph_of_it, state, copy=True)(x)

    def apply(state: Any, x: Any) -> Any:
        return merged(graph, state)(x)

    def watched(on_layer: OnLayer, on_norm: OnNorm) -> Callable[..., Any]:
        return lambda state, x: nnx_watched(merged(graph, state), on_layer, on_norm)(x)

    return _Model(apply, lambda state, x: nnx_calls(merged(graph, state), x), sparse, watched), state


def _refuse(model: Any) -> Any:
    raise MaskError(
        f"sparsify takes a Flax Linen or NNX module, got a {type(model).__name__}; "
        "for a function of your own use BlockSparse and block_matmul in it"
    )


def _shrunk(apply: Callable[..., Any], masked: Any, mask: Mask, sample: Any) -> tuple[Any, ShrinkReport | str]:
    """The variables without dead channels, and the report; as they are, with the reason, where none can go."""
    if not any((~np.asarray(kept)).all(axis=tuple(range(kept.ndim - 1))).any() for kept in mask.values()):
        return masked, "no channel is without weights"
    try:
        shrunk = cut_channels(apply, masked, mask, sample)
    except MaskError as error:
        return masked, f"no channel was cut out: {error}"
    return shrunk.params, shrunk.report


def _difference(expected: Any, found: Any, calls: Mapping[Path, list[Call | str]]) -> float:
    """The largest difference of two trees of outputs, relative to the largest output of each array.

    Raises:
        MaskError: it is more than rounding.
    """
    dtypes = {call.dtype for layer in calls.values() for call in layer if isinstance(call, Call)}
    allowed = max((_TOLERANCES.get(dtype, 1e-3) for dtype in dtypes), default=1e-3)
    worst = 0.0
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        one, other = (np.asarray(array, np.float64) for array in (one, other))
        worst = max(worst, float(np.max(np.abs(one - other), initial=0.0) / max(np.abs(one).max(initial=0.0), 1e-30)))
    if not worst <= allowed:
        raise MaskError(
            f"the outputs of the sparse model differ by {worst:.1e} of the largest, more than {allowed:.0e}; "
            "give variables and a sample with finite outputs, and a model that does the same at each call"
        )
    return worst


def _as_dense(layer: LayerReport) -> LayerReport:
    if layer.form == "dense":
        return layer
    reason = f"{layer.reason}, but the whole model was slower"
    return LayerReport(
        layer.path, "dense", reason, layer.density, (layer.bytes[0], layer.bytes[0]), layer.predicted, layer.measured
    )


def _bytes(tree: Any) -> int:
    return sum(
        leaf.size * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
        if hasattr(leaf, "size") and not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)
    )
