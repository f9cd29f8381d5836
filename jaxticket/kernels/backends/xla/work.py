"""The work of sparse matmuls in plain JAX, and what it costs on a CPU."""

from jaxticket.kernels.backends.cost_model import Rates, Work, piece_sizes
from jaxticket.kernels.backends.xla.matmul import TILE_ROWS
from jaxticket.kernels.formats.sparse_weight import SparseWeight
from jaxticket.kernels.layer_shape import LayerShape

# Two cores of an AMD EPYC with AVX2, `tune()` with jax 0.10.2 while nothing else ran, and five microseconds for each
# piece, which only small layers feel. Other processors are faster or slower at all of it; the ratios decide.
CPU_RATES = {
    "float32": Rates(
        dense=(1.1e-11, 0.0, 0.0),
        conv=(1.5e-11, 6.2e-10, 0.0),
        sparse=(1.9e-11, 0.0, 4.7e-10, 6.2e-10, 5e-6),
    )
}


def gathered_work(layer: LayerShape, weight: SparseWeight) -> Work:
    """Multiply-accumulates, numbers gathered, numbers of patches laid out, outputs, and pieces of all tiles."""
    sizes = piece_sizes(weight)
    inputs, outputs = layer.matrix
    tiles = max(1, -(-layer.rows // TILE_ROWS))
    return (
        float(layer.rows * sum(height * width for height, width in sizes)),
        float(layer.rows * sum(height for height, _ in sizes if height < inputs)),
        float(layer.rows * inputs if layer.has_window else 0),
        float(layer.rows * outputs),
        float(tiles * len(sizes)),
    )
