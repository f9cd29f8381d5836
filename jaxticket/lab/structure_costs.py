"""What a sparse network costs, and what its masks look like."""

import math
from typing import Any

import jax
import numpy as np

from jaxticket.core.types import Mask
from jaxticket.interop import layer_outputs
from jaxticket.lab.lab import Lab
from jaxticket.lab.stages.references import MaskRef, WeightsRef
from jaxticket.structure.macs import macs
from jaxticket.structure.matrix import to_matrix
from jaxticket.structure.shrink.shrink import shrink
from jaxticket.training.state import Weights

_CONVOLUTIONS = 3
_PICTURE = (32, 64)


def structure_costs(lab: Lab, start: WeightsRef, mask: MaskRef, *, channels: bool) -> dict[str, Any]:
    """Multiply-accumulates of one image, and with whole channels gone the number of parameters; empty in a plan.

    With `channels` the mask is one of whole channels, which are then cut out of the network, their normalisations set
    to zero. Otherwise every kept weight counts at each position where it is used, which is what a program that
    multiplies blocks or single weights has to do.

    Returns:
        `macs`, `macs_dense` and, with channels, `parameters_shrunk`.
    """

    def compute(start: Weights, mask: Mask) -> dict[str, Any]:
        apply, variables, x = lab.setting.as_function(start)
        if channels:
            report = shrink(apply, variables, mask, x, mask_bn=True).report
            return {"macs": report.macs[1], "macs_dense": report.macs[0], "parameters_shrunk": report.parameters[1]}
        dense = macs(apply, variables, x)
        outputs = jax.eval_shape(lambda x: layer_outputs(apply, variables, x, mask), x)
        unused = sum(np.count_nonzero(~kept) * math.prod(outputs[path].shape[:-1]) for path, kept in mask.items())
        return {"macs": int(dense - unused), "macs_dense": dense}

    config = {**lab.setting.network_key(), "channels": channels}
    return dict(lab.measure("costs", compute, config=config, start=start, mask=mask))


def mask_heatmaps(lab: Lab, start: WeightsRef, mask: MaskRef) -> list[dict[str, Any]]:
    """The masks of the last three prunable convolutions as small pictures.

    Returns:
        For each its `path`, its `shape` (output channels, weights of each) and its `density`, rows of the kept share in
        at most 32 x 64 parts of the matrix; nothing in a plan.
    """

    def compute(start: Weights, mask: Mask) -> dict[str, Any]:
        apply, variables, x = lab.setting.as_function(start)
        called = jax.eval_shape(lambda x: layer_outputs(apply, variables, x, mask), x)
        convolutions = [path for path in called if np.ndim(mask[path]) > 2][-_CONVOLUTIONS:]
        return {"layers": [{"path": path, **picture(to_matrix(mask[path]))} for path in convolutions]}

    found = lab.measure("heatmap", compute, config=lab.setting.network_key(), start=start, mask=mask)
    return list(found.get("layers", ()))


def picture(kept: np.ndarray) -> dict[str, Any]:
    """A bool matrix as `shape` and `density`, the means of at most 32 x 64 parts of nearly equal size."""
    rows, columns = (
        np.linspace(0, size, min(size, most) + 1).astype(int)[:-1]
        for size, most in zip(kept.shape, _PICTURE, strict=True)
    )
    sums = np.add.reduceat(np.add.reduceat(kept.astype(np.int64), rows, axis=0), columns, axis=1)
    sizes = np.outer(np.diff(rows, append=kept.shape[0]), np.diff(columns, append=kept.shape[1]))
    return {"shape": list(kept.shape), "density": np.round(sums / sizes, 2).tolist()}
