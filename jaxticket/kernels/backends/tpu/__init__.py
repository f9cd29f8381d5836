"""Sparse matmuls as Pallas kernels for TPUs."""

from jaxticket.kernels.autodiff import differentiable
from jaxticket.kernels.backends.backend import Backend
from jaxticket.kernels.backends.tpu.matmul import tpu_matmul, tpu_unsupported

BACKEND = Backend("tpu", differentiable(tpu_matmul), unsupported_reason=tpu_unsupported, device="tpu", platform="tpu")
