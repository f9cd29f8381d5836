"""Running sparse: weights stored by blocks, products and convolutions with them, and models converted to them.

Functions that are named like their module are imported from there, or from `jaxticket`.
"""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.kernels.block_sparse import BlockSparse as BlockSparse
    from jaxticket.kernels.conv import block_conv as block_conv
    from jaxticket.kernels.dense_groups import DenseGroups as DenseGroups
    from jaxticket.kernels.matmul import block_matmul as block_matmul
    from jaxticket.kernels.sparsify_report import LayerReport as LayerReport
    from jaxticket.kernels.sparsify_report import Sparsified as Sparsified
    from jaxticket.kernels.sparsify_report import SparsifyReport as SparsifyReport
    from jaxticket.kernels.structure import BlockStructure as BlockStructure
    from jaxticket.kernels.timings import Timings as Timings
    from jaxticket.kernels.timings import known_timings as known_timings
    from jaxticket.kernels.timings import load_timings as load_timings
    from jaxticket.kernels.timings import tune as tune

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "block_sparse": ("BlockSparse",),
        "conv": ("block_conv",),
        "dense_groups": ("DenseGroups",),
        "matmul": ("block_matmul",),
        "sparsify_report": ("LayerReport", "Sparsified", "SparsifyReport"),
        "structure": ("BlockStructure",),
        "timings": ("Timings", "known_timings", "load_timings", "tune"),
    },
)
