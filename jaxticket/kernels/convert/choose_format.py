"""Whether a layer runs sparse, and in which form: the fastest, if it is faster than dense by enough."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxticket.core.errors import MaskError
from jaxticket.core.types import Path
from jaxticket.kernels.backends import dispatch
from jaxticket.kernels.convert.cost_model import has_window
from jaxticket.kernels.convert.device_rates import Timings, measure_call
from jaxticket.kernels.convert.layer_shape import Call
from jaxticket.kernels.convert.report import LayerReport
from jaxticket.kernels.formats.block_sparse import BlockSparse
from jaxticket.kernels.formats.dense_groups import DenseGroups
from jaxticket.kernels.formats.sparse_weight import SparseWeight

# More groups of outputs than this, or groups of fewer outputs on average, are not worth a product each.
_MOST_GROUPS, _FEWEST_OUTPUTS = 32, 8
_WIDE_BLOCK = (16, 128)
_ROUNDS = 7


def decide(
    path: Path,
    kernel: Any,
    calls: Sequence[Call | str],
    *,
    block: tuple[int, int],
    min_speedup: float,
    timings: Timings,
    measure: bool,
) -> tuple[SparseWeight | None, LayerReport]:
    """The sparse weight that a layer runs with, None where it stays dense, and the reasons.

    Args:
        path: of the kernel.
        kernel: masked, on the host.
        calls: of the layer, or why it cannot run sparse.
        block: (inputs, outputs) of the pruner's blocks; 16x128 are tried besides.
        min_speedup: by how much sparse must be faster than dense; 0 takes the best sparse form in any case.
        timings: of the device.
        measure: whether the best form is measured, and must be faster by that too.
    """
    array = np.asarray(kernel)
    density = np.count_nonzero(array) / max(array.size, 1)

    def stays(reason: str, **seconds: Any) -> tuple[None, LayerReport]:
        return None, LayerReport(path, "dense", reason, density, (array.nbytes, array.nbytes), **seconds)

    reasons = [call for call in calls if isinstance(call, str)]
    if not calls or reasons:
        return stays(reasons[0] if reasons else "no dense or convolutional layer that the model calls itself")
    known = [call for call in calls if isinstance(call, Call)]
    if density == 1:
        return stays("nothing is masked")
    forms = _forms(array, block)
    rates = [timings.rates.get(call.dtype) for call in known]
    if None in rates and not measure and min_speedup > 0:
        return stays(f"no timings of {known[0].dtype} on {timings.device}; call jaxticket.kernels.tune or measure=True")
    predicted: dict[str, tuple[float, float]] = {}
    if None not in rates:
        pairs = [(call, found) for call, found in zip(known, rates, strict=True) if found]
        dense = sum(found.dense_seconds(call) for call, found in pairs)
        for form, weight in forms.items():
            sparse = sum(found.sparse_seconds(call, weight) for call, found in pairs)
            # No more can be won than what is not stored, whatever the rates say of another way to compute the same.
            predicted[form] = dense, max(sparse, dense * weight.nbytes / array.nbytes)
    best = min(predicted, key=lambda form: predicted[form][1]) if predicted else _fewest_bytes(forms)
    seconds: dict[str, Any] = {"predicted": predicted.get(best)}
    # A prediction is trusted to say no where it is nowhere near; where measuring decides, it says no to little else.
    needed = min_speedup / 2 if measure else min_speedup
    if predicted and _speedup(predicted[best]) < needed:
        return stays(f"{form_speed(best, predicted[best])} is predicted, {min_speedup:.2f} is needed", **seconds)
    reason = f"{form_speed(best, predicted[best])} is predicted" if predicted else "asked for, whatever it costs"
    if measure:
        found = [measure_call(call, [forms[best]], _ROUNDS) for call in known]
        seconds["measured"] = sum(pair[0] for pair in found), sum(pair[1] for pair in found)
        reason = f"{form_speed(best, seconds['measured'])} is measured"
        if _speedup(seconds["measured"]) < min_speedup:
            return stays(f"{reason}, {min_speedup:.2f} is needed", **seconds)
    images = known[0].x[0] if has_window(known[0]) else None
    reason += dispatch.runs_by(forms[best], known[0].dtype, images)
    return forms[best], LayerReport(path, best, reason, density, (array.nbytes, forms[best].nbytes), **seconds)


def form_speed(form: str, seconds: tuple[float, float]) -> str:
    """A sparse form and how many times it is as fast as dense."""
    return f"{_speedup(seconds):.2f} times as fast by {form}"


def _speedup(seconds: tuple[float, float]) -> float:
    dense, sparse = seconds
    if sparse > 0:
        return dense / sparse
    return math.inf if dense > 0 else 1.0


def _forms(array: np.ndarray, block: tuple[int, int]) -> Mapping[str, SparseWeight]:
    """The sparse forms that a masked kernel could take."""
    # Those of the pruner store least; if they are small, larger ones that hold some zeros may be faster.
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


def _fewest_bytes(forms: Mapping[str, SparseWeight]) -> str:
    return min(forms, key=lambda form: forms[form].nbytes)
