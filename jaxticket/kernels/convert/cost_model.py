"""Seconds that a layer takes, dense and sparse, from the rates of a device."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxticket.kernels.backends.xla import matmul as xla_matmul
from jaxticket.kernels.convert.layer_shape import Call
from jaxticket.kernels.formats.sparse_weight import SparseWeight


@dataclasses.dataclass(frozen=True)
class Rates:
    """Seconds per unit of work on one device, in one dtype; none is negative.

    Attributes:
        dense: of a product of matrices, for each multiply-accumulate, number read or written, and call.
        conv: the same of a convolution with a window.
        sparse: for each multiply-accumulate, number gathered, number of a patch laid out, output, and product.
    """

    dense: tuple[float, ...]
    conv: tuple[float, ...]
    sparse: tuple[float, ...]

    def dense_seconds(self, call: Call) -> float:
        """What is predicted for a call with a dense kernel."""
        return float(np.dot(self.conv if has_window(call) else self.dense, dense_work(call)))

    def sparse_seconds(self, call: Call, weight: SparseWeight) -> float:
        """What is predicted for a call with a sparse weight."""
        return float(np.dot(self.sparse, sparse_work(call, weight)))


def has_window(call: Call) -> bool:
    """Whether a call is a convolution that is no product of matrices."""
    return call.window is not None and call.kernel[:2] != (1, 1)


def dense_work(call: Call) -> tuple[float, ...]:
    """Multiply-accumulates, numbers read or written, and one call."""
    inputs, outputs = math.prod(call.kernel[:-1]), call.kernel[-1]
    moved = math.prod(call.x) + math.prod(call.kernel) + call.rows * outputs
    return float(call.rows * inputs * outputs), float(moved), 1.0


def sparse_work(call: Call, weight: SparseWeight) -> tuple[float, ...]:
    """Multiply-accumulates, numbers gathered, numbers of patches, outputs, and products of all tiles."""
    sizes = piece_sizes(weight)
    inputs, outputs = math.prod(call.kernel[:-1]), call.kernel[-1]
    tiles = max(1, -(-call.rows // xla_matmul.TILE_ROWS))
    return (
        float(call.rows * sum(height * width for height, width in sizes)),
        float(call.rows * sum(height for height, _ in sizes if height < inputs)),
        float(call.rows * inputs if has_window(call) else 0),
        float(call.rows * outputs),
        float(tiles * len(sizes)),
    )


def piece_sizes(weight: SparseWeight) -> list[tuple[int, int]]:
    """(inputs, outputs) of the products of a weight that have any; nothing is computed."""
    shapes = jax.eval_shape(lambda values: [piece.weight for piece in values.pieces()], weight)
    return [(shape.shape[0], shape.shape[1]) for shape in shapes if 0 not in shape.shape]


def fit(works: Sequence[Sequence[float]], seconds: Sequence[float]) -> tuple[float, ...]:
    """The rates, none negative, by which the predictions of some measurements err least, relative to each."""
    from scipy.optimize import nnls

    scaled = np.asarray(works) / np.asarray(seconds)[:, None]
    size = np.maximum(scaled.max(axis=0), 1e-300)
    return tuple(float(rate) for rate in nnls(scaled / size, np.ones(len(seconds)))[0] / size)


def as_rates(content: Mapping[str, Any]) -> Rates:
    """Rates from what `dataclasses.asdict` makes of them."""
    return Rates(**{name: tuple(float(rate) for rate in content[name]) for name in ("dense", "conv", "sparse")})
