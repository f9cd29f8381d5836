"""Running sparse: weights stored by blocks, matmuls and convolutions with them, and models converted to them.

Functions that are named like their module are imported from there, or from `jaxticket`.
"""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.kernels.autodiff import differentiable as differentiable
    from jaxticket.kernels.backends.backend import BACKENDS as BACKENDS
    from jaxticket.kernels.backends.backend import Backend as Backend
    from jaxticket.kernels.backends.backend import register_backend as register_backend
    from jaxticket.kernels.backends.cost_model import Rates as Rates
    from jaxticket.kernels.conv import block_conv as block_conv
    from jaxticket.kernels.convert.device_rates import Timings as Timings
    from jaxticket.kernels.convert.device_rates import known_timings as known_timings
    from jaxticket.kernels.convert.device_rates import load_timings as load_timings
    from jaxticket.kernels.convert.device_rates import tune as tune
    from jaxticket.kernels.convert.report import SparseLayerReport as SparseLayerReport
    from jaxticket.kernels.convert.report import Sparsified as Sparsified
    from jaxticket.kernels.convert.report import SparsifyReport as SparsifyReport
    from jaxticket.kernels.epilogue import Epilogue as Epilogue
    from jaxticket.kernels.epilogue import accumulation_dtype as accumulation_dtype
    from jaxticket.kernels.formats.block_sparse import BlockSparse as BlockSparse
    from jaxticket.kernels.formats.conv_geometry import ConvGeometry as ConvGeometry
    from jaxticket.kernels.formats.dense_groups import DenseGroups as DenseGroups
    from jaxticket.kernels.formats.structure import BlockStructure as BlockStructure
    from jaxticket.kernels.layer_shape import LayerShape as LayerShape
    from jaxticket.kernels.matmul import block_matmul as block_matmul

__getattr__, __dir__, __all__ = lazy_exports(__name__)
