"""Models and weights from elsewhere: Flax NNX models as functions, PyTorch checkpoints without PyTorch."""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.interop.linen_inputs import input_norms as input_norms
    from jaxticket.interop.linen_outputs import layer_outputs as layer_outputs
    from jaxticket.interop.linen_outputs import output_gradients as output_gradients
    from jaxticket.interop.nnx import functional as functional
    from jaxticket.interop.torch_files import read_torch as read_torch
    from jaxticket.interop.torch_weights import Converted as Converted
    from jaxticket.interop.torch_weights import from_torch as from_torch
    from jaxticket.interop.torch_weights import to_torch as to_torch

__getattr__, __dir__, __all__ = lazy_exports(__name__)
