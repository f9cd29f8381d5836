"""Networks by name, their options, and fast initialisation."""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.models.apply import apply_model as apply_model
    from jaxticket.models.initialize import abstract_variables as abstract_variables
    from jaxticket.models.initialize import init_variables as init_variables
    from jaxticket.models.linen import with_activation as with_activation
    from jaxticket.models.network_row import Network as Network
    from jaxticket.models.options import ModelOptions as ModelOptions
    from jaxticket.models.registry import check_model as check_model
    from jaxticket.models.registry import create_model as create_model
    from jaxticket.models.registry import names as names
    from jaxticket.models.registry import network as network
    from jaxticket.models.registry import option_names as option_names
    from jaxticket.models.registry import register as register

__getattr__, __dir__, __all__ = lazy_exports(__name__)
