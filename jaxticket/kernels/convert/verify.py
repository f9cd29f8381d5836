"""The check that a converted model computes what the masked dense model does."""

import dataclasses

import jax
import numpy as np

from jaxticket.core.errors import MaskError
from jaxticket.core.types import PyTree
from jaxticket.kernels.convert.model import SparseModel
from jaxticket.kernels.layer_shape import LayerShape

# How far outputs may differ, relative to the largest: rounding through a deep network in the dtype it computes in.
_TOLERANCES = {"float64": 1e-4, "float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}


def verify(model: SparseModel) -> SparseModel:
    """The pass that compares outputs on the sample.

    Raises:
        MaskError: they differ by more than rounding.
    """
    dtypes = {call.dtype for calls in model.layer_shapes.values() for call in calls if isinstance(call, LayerShape)}
    allowed = max((_TOLERANCES.get(dtype, 1e-3) for dtype in dtypes), default=1e-3)
    expected = jax.jit(model.adapter.apply)(model.masked, model.sample)
    difference = relative_difference(expected, jax.jit(model.result.apply)(model.result.variables, model.sample))
    if not difference <= allowed:
        raise MaskError(
            f"the outputs of the sparse model differ by {difference:.1e} of the largest, more than {allowed:.0e}; "
            "give variables and a sample with finite outputs, and a model that does the same at each call"
        )
    return dataclasses.replace(model, report=dataclasses.replace(model.report, difference=difference))


def relative_difference(expected: PyTree, found: PyTree) -> float:
    """The largest difference of two trees of arrays, relative to the largest element of each array; NaN counts."""
    worst = 0.0
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        one, other = (np.asarray(array, np.float64) for array in (one, other))
        largest = np.abs(one).max(initial=1e-30)
        worst = np.maximum(worst, np.abs(one - other).max(initial=0.0) / largest)  # NaN stays, with `max` it would not
    return float(worst)
