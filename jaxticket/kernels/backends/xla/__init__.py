"""Sparse matmuls as XLA operations, on any device: the backend that takes whatever no other one can."""

from jaxticket.kernels.backends.backend import Backend
from jaxticket.kernels.backends.xla.conv import xla_conv
from jaxticket.kernels.backends.xla.matmul import xla_matmul
from jaxticket.kernels.backends.xla.work import CPU_RATES, gathered_work

BACKEND = Backend("xla", xla_matmul, xla_conv, sparse_work=gathered_work, rates={"cpu": CPU_RATES})
