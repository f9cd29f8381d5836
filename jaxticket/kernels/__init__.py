"""Running sparse: weights stored by blocks, products and convolutions with them, and models converted to them.

Functions that are named like their module are imported from there, or from `jaxticket`.
"""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.kernels.conv import block_conv as block_conv
    from jaxticket.kernels.convert.device_rates import Timings as Timings
    from jaxticket.kernels.convert.device_rates import known_timings as known_timings
    from jaxticket.kernels.convert.device_rates import load_timings as load_timings
    from jaxticket.kernels.convert.device_rates import tune as tune
    from jaxticket.kernels.convert.report import LayerReport as LayerReport
    from jaxticket.kernels.convert.report import Sparsified as Sparsified
    from jaxticket.kernels.convert.report import SparsifyReport as SparsifyReport
    from jaxticket.kernels.formats.block_sparse import BlockSparse as BlockSparse
    from jaxticket.kernels.formats.dense_groups import DenseGroups as DenseGroups
    from jaxticket.kernels.formats.structure import BlockStructure as BlockStructure
    from jaxticket.kernels.matmul import block_matmul as block_matmul

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "formats.block_sparse": ("BlockSparse",),
        "conv": ("block_conv",),
        "formats.dense_groups": ("DenseGroups",),
        "matmul": ("block_matmul",),
        "convert.report": ("LayerReport", "Sparsified", "SparsifyReport"),
        "formats.structure": ("BlockStructure",),
        "convert.device_rates": ("Timings", "known_timings", "load_timings", "tune"),
    },
)
