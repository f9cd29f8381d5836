"""Dead channels are cut out of a model before its layers run sparse."""

import dataclasses

import numpy as np

from jaxticket.core.errors import MaskError
from jaxticket.kernels.convert.model import SparseModel
from jaxticket.structure.shrink.shrink import shrink


def cut_channels(model: SparseModel) -> SparseModel:
    """The pass that cuts out channels without weights, where any can go; the report says why none can."""
    variables, reason = model.variables, "no channel is without weights"
    if any((~np.asarray(kept)).all(axis=tuple(range(kept.ndim - 1))).any() for kept in model.mask.values()):
        try:
            shrunk = shrink(model.adapter.apply, model.masked, model.mask, model.sample)
            variables, reason = shrunk.params, shrunk.report
        except MaskError as error:
            reason = f"no channel was cut out: {error}"
    return dataclasses.replace(model, variables=variables, report=dataclasses.replace(model.report, shrunk=reason))
