"""Several of the same at once: how like trees of arrays lie on devices, and functions that act on all of them."""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.parallel.layouts import ALONE as ALONE
    from jaxticket.parallel.layouts import Layout as Layout
    from jaxticket.parallel.layouts import OnePerDevice as OnePerDevice
    from jaxticket.parallel.layouts import Vmapped as Vmapped

__getattr__, __dir__, __all__ = lazy_exports(__name__, {"layouts": ("ALONE", "Layout", "OnePerDevice", "Vmapped")})
