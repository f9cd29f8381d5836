"""Sparse matmuls and convolutions as Pallas kernels for GPUs of the Hopper generation."""

from jaxticket.kernels.autodiff import differentiable
from jaxticket.kernels.backends.backend import Backend
from jaxticket.kernels.backends.gpu.conv import gpu_conv
from jaxticket.kernels.backends.gpu.matmul import gpu_matmul
from jaxticket.kernels.backends.gpu.support import gpu_unsupported

BACKEND = Backend(
    "gpu",
    differentiable(gpu_matmul),
    differentiable(gpu_conv),
    unsupported_reason=gpu_unsupported,
    device="gpu",
    platform="cuda",
)
