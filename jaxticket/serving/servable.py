"""What can be exported or saved: a network as a function and its arrays."""

from collections.abc import Callable
from typing import Any, TypeAlias

from jaxticket.core.errors import ConfigError
from jaxticket.core.types import PyTree
from jaxticket.kernels.convert.report import Sparsified
from jaxticket.structure.shrink.shrink import Shrunk

# A network with fewer channels, one that runs sparse, or (apply, variables) of any other, apply(variables, *inputs).
Servable: TypeAlias = "Shrunk | Sparsified | tuple[Callable[..., Any], PyTree]"


def as_function(model: Servable) -> tuple[Callable[..., Any], PyTree]:
    """(apply, variables) of a model.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(model, Shrunk):
        return model.apply, model.params
    if isinstance(model, Sparsified):
        return model.apply, model.variables
    if isinstance(model, tuple) and len(model) == 2 and callable(model[0]):
        return model
    raise ConfigError(
        f"model is a {type(model).__name__}; give what jt.shrink or jt.sparsify returned, or (apply, variables) with "
        "apply(variables, *inputs)"
    )
