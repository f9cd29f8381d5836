"""Seconds that a layer takes, dense and sparse, from the rates of a device."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxticket.kernels.formats.sparse_weight import SparseWeight
from jaxticket.kernels.layer_shape import LayerShape

Work = tuple[float, ...]
"""How much a layer has of each kind of work, such as multiply-accumulates; what the rates are multiplied by."""
SparseWork = Callable[[LayerShape, SparseWeight], Work]


@dataclasses.dataclass(frozen=True)
class Rates:
    """Seconds per unit of work on one device, in one dtype; none is negative.

    Attributes:
        dense: of a matmul, for each multiply-accumulate, number read or written, and call.
        conv: the same of a convolution with a window.
        sparse: for each entry of the sparse work of a backend.
    """

    dense: Work
    conv: Work
    sparse: Work

    def dense_seconds(self, layer: LayerShape) -> float:
        """What is predicted for a layer with a dense kernel."""
        return float(np.dot(self.conv if layer.has_window else self.dense, dense_work(layer)))

    def sparse_seconds(self, layer: LayerShape, weight: SparseWeight, work: SparseWork) -> float:
        """What is predicted for a layer with a sparse weight, by the `work` that the rates were fitted to."""
        return float(np.dot(self.sparse, work(layer, weight)))


def dense_work(layer: LayerShape) -> Work:
    """Multiply-accumulates, numbers read or written, and one call."""
    inputs, outputs = layer.matrix
    moved = math.prod(layer.x) + math.prod(layer.kernel) + layer.rows * outputs
    return float(layer.rows * inputs * outputs), float(moved), 1.0


def stored_work(layer: LayerShape, weight: SparseWeight) -> Work:
    """The same of what is stored: multiply-accumulates, numbers read or written, and one call."""
    stored = weight.nbytes // weight.dtype.itemsize
    moved = math.prod(layer.x) + stored + layer.rows * layer.matrix[1]
    return float(layer.rows * stored), float(moved), 1.0


def piece_sizes(weight: SparseWeight) -> list[tuple[int, int]]:
    """(inputs, outputs) of the pieces of a weight that have any; nothing is computed."""
    shapes = jax.eval_shape(lambda values: [piece.weight for piece in values.pieces()], weight)
    return [(shape.shape[0], shape.shape[1]) for shape in shapes if 0 not in shape.shape]


def fit_rates(works: Sequence[Work], seconds: Sequence[float]) -> Work:
    """The rates, none negative, by which the predictions of some measurements err least, relative to each."""
    from scipy.optimize import nnls

    scaled = np.asarray(works) / np.asarray(seconds)[:, None]
    size = np.maximum(scaled.max(axis=0), 1e-300)
    return tuple(float(rate) for rate in nnls(scaled / size, np.ones(len(seconds)))[0] / size)


def as_rates(content: Mapping[str, Any]) -> Rates:
    """Rates from what `dataclasses.asdict` gives of them."""
    return Rates(**{name: tuple(float(rate) for rate in content[name]) for name in ("dense", "conv", "sparse")})
