"""Many devices and many processes: how trees of arrays are laid out on devices, and what processes have to agree on."""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.parallel.layouts import SINGLE as SINGLE
    from jaxticket.parallel.layouts import Layout as Layout
    from jaxticket.parallel.layouts import OnePerDevice as OnePerDevice
    from jaxticket.parallel.layouts import Vmapped as Vmapped
    from jaxticket.parallel.mesh import Sharded as Sharded
    from jaxticket.parallel.mesh import choose_layout as choose_layout
    from jaxticket.parallel.options import MeshOptions as MeshOptions

__getattr__, __dir__, __all__ = lazy_exports(__name__)
