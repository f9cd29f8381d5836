"""Whether a layer runs sparse, and in which form: the fastest, if it is faster than dense by enough."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxticket.core import paths
from jaxticket.core.errors import MaskError
from jaxticket.core.types import Path
from jaxticket.kernels.backends.dispatch import available_backend, explain_backend, unsupported_reason
from jaxticket.kernels.convert.device_rates import Timings, measure_layer
from jaxticket.kernels.convert.model import SparseModel
from jaxticket.kernels.convert.report import SparseLayerReport
from jaxticket.kernels.formats.block_sparse import BlockSparse
from jaxticket.kernels.formats.dense_groups import DenseGroups
from jaxticket.kernels.formats.sparse_weight import SparseWeight
from jaxticket.kernels.layer_shape import LayerShape

# More groups of outputs than this, or groups of fewer outputs on average, are not worth a matmul each.
_MOST_GROUPS, _FEWEST_OUTPUTS = 32, 8
_WIDE_BLOCK = (16, 128)
_ROUNDS = 7

Seconds = tuple[float, float]
"""Of a layer, dense and sparse."""


def choose_formats(model: SparseModel, **options: Any) -> SparseModel:
    """The pass that gives each masked kernel its sparse form, or leaves it dense; `options` of `choose_format`."""
    layers, leaves = model.layer_shapes, paths.leaves(model.variables)
    chosen = {path: choose_format(path, leaves[path], layers.get(path, []), **options) for path in sorted(model.mask)}
    weights = {path: weight for path, (weight, _) in chosen.items() if weight is not None}
    report = dataclasses.replace(model.report, layers=tuple(report for _, report in chosen.values()))
    return dataclasses.replace(model, weights=weights, report=report)


def choose_format(
    path: Path,
    kernel: np.ndarray | jax.Array,
    calls: Sequence[LayerShape | str],
    *,
    block: tuple[int, int],
    min_speedup: float,
    timings: Timings,
    measure: bool,
    backend: str | None = None,
) -> tuple[SparseWeight | None, SparseLayerReport]:
    """The sparse weight that a layer runs with, None where it stays dense, and the reasons.

    Args:
        path: of the kernel.
        kernel: masked.
        calls: shapes of the calls of the layer, or why it cannot run sparse.
        block: (inputs, outputs) of the pruner's blocks; 16x128 are tried as well.
        min_speedup: by how much sparse must be faster than dense; 0 takes the best sparse form in any case.
        timings: of the device.
        measure: whether the best form is measured, and must be faster by that too.
        backend: that runs it; None is the best one.
    """
    array = np.asarray(kernel)
    density = int(np.count_nonzero(array)) / max(array.size, 1)

    def dense(reason: str, **seconds: Seconds | None) -> tuple[None, SparseLayerReport]:
        return None, SparseLayerReport(path, "dense", reason, density, (array.nbytes, array.nbytes), **seconds)

    reasons = [call for call in calls if isinstance(call, str)]
    if not calls or reasons:
        return dense(reasons[0] if reasons else "no dense or convolutional layer that the model calls itself")
    layers = [call for call in calls if isinstance(call, LayerShape)]
    if density == 1:
        return dense("nothing is masked")
    forms = sparse_forms(array, block)
    if backend is not None:
        problems = {form: layer_problem(backend, layers, weight) for form, weight in forms.items()}
        forms = {form: weight for form, weight in forms.items() if problems[form] is None}
        if not forms:
            return dense(f"backend={backend!r} cannot run it, for {next(iter(problems.values()))}")
    known = all(layer.dtype in timings.rates for layer in layers)
    if not known and not measure and min_speedup > 0:
        return dense(
            f"no timings of {layers[0].dtype} on {timings.device}; call jaxticket.kernels.tune or measure=True"
        )
    form, predicted = fastest_form(forms, layers, array.nbytes, timings)
    # A prediction is trusted to say no where it is nowhere near; where measuring decides, it says no to little else.
    needed = min_speedup / 2 if measure else min_speedup
    if predicted and _speedup(predicted) < needed:
        return dense(f"{_faster(form, predicted)} is predicted, {min_speedup:.2f} is needed", predicted=predicted)
    reason = f"{_faster(form, predicted)} is predicted" if predicted else "asked for, whatever it costs"
    measured = None
    if measure:
        found = [measure_layer(layer, [forms[form]], _ROUNDS, backend) for layer in layers]
        measured = sum(pair[0] for pair in found), sum(pair[1] for pair in found)
        reason = f"{_faster(form, measured)} is measured"
        if _speedup(measured) < min_speedup:
            return dense(f"{reason}, {min_speedup:.2f} is needed", predicted=predicted, measured=measured)
    reason += explain_backend(backend, forms[form], layers[0].dtype, layers[0].images)
    size = array.nbytes, forms[form].nbytes
    return forms[form], SparseLayerReport(path, form, reason, density, size, predicted, measured)


def layer_problem(backend: str, layers: Sequence[LayerShape], weight: SparseWeight) -> str | None:
    """Why a backend cannot run the calls of a layer with a weight, or None."""
    found = available_backend(backend)
    reasons = [unsupported_reason(found, weight, layer.dtype, layer.images) for layer in layers]
    return next((reason for reason in reasons if reason is not None), None)


def sparse_forms(array: np.ndarray, block: tuple[int, int]) -> dict[str, SparseWeight]:
    """The sparse forms that a masked kernel could take: blocks of both sizes, and groups if they are few.

    The pruner's blocks store least; if they are small, larger ones that hold some zeros may be faster.
    """
    found: dict[str, SparseWeight] = {
        f"blocks {height}x{width}": BlockSparse.from_dense(array, None, (height, width))
        for height, width in dict.fromkeys((block, _WIDE_BLOCK))
    }
    try:
        most = min(_MOST_GROUPS, max(1, array.shape[-1] // _FEWEST_OUTPUTS))
        found["groups"] = DenseGroups.from_dense(array, most=most)
    except MaskError:
        pass  # its outputs have little in common
    return found


def fastest_form(
    forms: Mapping[str, SparseWeight], layers: Sequence[LayerShape], dense_bytes: int, timings: Timings
) -> tuple[str, Seconds | None]:
    """The form of least predicted time, and that of dense and of it; where nothing is predicted, that of least bytes.

    Args:
        forms: name -> weight.
        layers: the calls of the layer, whose times add up.
        dense_bytes: of the dense kernel.
        timings: of the device.
    """
    rates = [timings.rates[layer.dtype] for layer in layers if layer.dtype in timings.rates]
    if len(rates) < len(layers):
        return min(forms, key=lambda form: forms[form].nbytes), None
    pairs = list(zip(layers, rates, strict=True))
    dense = sum(rate.dense_seconds(layer) for layer, rate in pairs)
    # No more can be won than what is not stored, whatever the rates say of another way to compute the same.
    sparse = {
        form: max(
            sum(rate.sparse_seconds(layer, weight, timings.sparse_work) for layer, rate in pairs),
            dense * weight.nbytes / dense_bytes,
        )
        for form, weight in forms.items()
    }
    best = min(sparse, key=lambda form: sparse[form])
    return best, (dense, sparse[best])


def _faster(form: str, seconds: Seconds) -> str:
    return f"{_speedup(seconds):.2f} times as fast by {form}"


def _speedup(seconds: Seconds) -> float:
    dense, sparse = seconds
    if sparse > 0:
        return dense / sparse
    return math.inf if dense > 0 else 1.0
