"""Weights from elsewhere: PyTorch checkpoints into Flax variables, without PyTorch."""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.interop.from_torch import Converted as Converted
    from jaxticket.interop.from_torch import from_torch as from_torch
    from jaxticket.interop.torch_files import read_torch as read_torch

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "from_torch": ("Converted", "from_torch"),
        "torch_files": ("read_torch",),
    },
)
