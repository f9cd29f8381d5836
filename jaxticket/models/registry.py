"""Networks by name: one `Network` each, the package's own and those of users.

Names and options are checked before Flax and JAX are imported.
"""

import contextlib
import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxticket.core.errors import ConfigError, JaxticketError
from jaxticket.core.own_code import line_of
from jaxticket.core.registry import Registry
from jaxticket.models.architecture import Architecture
from jaxticket.models.network_row import Network, has_no_default

if TYPE_CHECKING:
    from flax import linen as nn


def _own() -> Iterator[Network]:
    """The package's rows: every module of `networks` registers its own when it is imported."""
    from jaxticket.models import networks

    for module in pkgutil.iter_modules(networks.__path__, f"{networks.__name__}."):
        importlib.import_module(module.name)
    yield from ()


def _of_factory(name: str, factory: Callable[..., Any]) -> Network:
    """The network of a class or function without a recipe: Adam trains most of them."""
    return Network(name, factory, train={"optimizer": "adam", "lr": 1e-3, "batch_size": 128})


NETWORKS: Registry[Network] = Registry("network", Network, _own, make=_of_factory)


def register(network: Network) -> Network:
    """Makes a network known by its name: on the command line, in configurations and to `create_model`.

    Args:
        network: its name, its class and what belongs to them.

    Returns:
        The same.

    Raises:
        ConfigError: another network has this name, or an option has no default.

    Example:
        >>> from jaxticket import models
        >>> from jaxticket.models.networks.lenet import LeNet300
        >>> _ = models.register(models.Network("lenet300_half", LeNet300, fixed={"width": 0.5}))
        >>> models.create_model("lenet300_half", num_classes=10).network.width
        0.5
    """
    NETWORKS.check(network)
    for name, field in network.option_fields.items():
        if has_no_default(field):
            raise ConfigError(f"network {network.name!r}: its option {name!r} has no default; give it one, or fix it")
    return NETWORKS.register(network)


def names() -> list[str]:
    """The names of all networks, sorted; aliases are not among them.

    Example:
        >>> from jaxticket import models
        >>> "lenet300" in models.names()
        True
    """
    return sorted(NETWORKS.names())


def network(name: str) -> Network:
    """The network of a name or an alias.

    Raises:
        ConfigError: there is no such network.
    """
    return NETWORKS.get(proper_name(name))


def option_names(name: str) -> list[str]:
    """The names of the options of the network `name`, sorted.

    Raises:
        ConfigError: there is no such network.

    Example:
        >>> from jaxticket import models
        >>> models.option_names("lenet300")
        ['activation', 'dtype', 'init', 'width']
    """
    return sorted(network(name).option_fields)


def aliases() -> dict[str, tuple[str, dict[str, Any]]]:
    """The other names by which networks are known -> the name proper, and the options that go with it."""
    return {alias: (row.name, dict(options)) for row in NETWORKS for alias, options in row.aliases.items()}


def proper(name: Any, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The name proper of a network, and its options with those that an alias stands for; unknown names stay."""
    found, implied = aliases().get(name, (name, {})) if isinstance(name, str) else (name, {})
    return found, {**implied, **options}


def proper_name(name: str, where: str = "model") -> str:
    """The name proper of a network given by name or alias.

    Args:
        name: a name or an alias.
        where: the configuration key of which `name` is the value of `name`, for the message.

    Raises:
        ConfigError: there is no such network.
    """
    found, _ = proper(name, {})
    if found in NETWORKS:
        return found
    known = names()
    near = difflib.get_close_matches(str(name).lower(), [*known, *aliases()], 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"config.{where}.name={name!r}: must be one of {', '.join(known)}{hint}")


def check_model(name: str, options: Mapping[str, Any], where: str = "model") -> dict[str, Any]:
    """All options of the network `name`, those that are given and the defaults of the others.

    Args:
        name: a name or an alias.
        options: option -> value.
        where: the configuration key that holds `name` and `options`, for messages.

    Raises:
        ConfigError: an unknown name or option, or a value that is not allowed.

    Example:
        >>> from jaxticket import models
        >>> models.check_model("lenet300", {})
        {'activation': 'relu', 'dtype': 'float32', 'init': 'glorot_normal', 'width': 1.0}
    """
    row = NETWORKS.get(proper_name(name, where), f"{where}.name")
    return row.parse(proper(name, options)[1], f"{where}.options")


def create_model(
    name: str, num_classes: int, *, image_shape: tuple[int, int, int] | None = None, **options: Any
) -> "nn.Module":
    """A network as a Linen module, not yet initialised.

    Called as `model.apply(variables, x, train=False)` with x float [batch, height, width, channels], it gives
    float32 logits [batch, num_classes].

    Args:
        name: one of `names()` or an alias.
        num_classes: the number of logits.
        image_shape: (height, width, channels), for networks that must know it when they are built.
        **options: those of the network, see `option_names(name)`; all have defaults.

    Raises:
        ConfigError: an unknown name or option, or a value that is not allowed.

    Example:
        >>> from jaxticket import models
        >>> model = models.create_model("lenet300", num_classes=10, width=0.5)
        >>> params, state = models.abstract_variables(model, (28, 28, 1))
        >>> params["fc1"]["kernel"].shape
        (784, 150)
    """
    row = network(name)
    options = proper(name, options)[1]
    if "dtype" not in row.option_fields and options.pop("dtype", "float32") != "float32":
        raise ConfigError(f"config.train.compute_dtype: {row.name} has no option dtype, and computes in float32")
    checked = row.parse(options, "model.options")
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise ConfigError(f"num_classes={num_classes!r}: must be a whole number of at least 1")
    if isinstance(row.factory, type) and issubclass(row.factory, Architecture):
        return row.factory(**row.fixed, **checked).module(num_classes)
    import jax.numpy as jnp

    from jaxticket.models import linen

    if "dtype" in checked and not isinstance(row.option_fields["dtype"].default, str):
        checked["dtype"] = jnp.dtype(checked["dtype"])
    arguments = row.arguments(num_classes, image_shape, checked)
    with naming_its_line(name):
        made = linen.from_nnx(row.factory, arguments) if row.takes_rngs else row.factory(**arguments)
    return linen.checked_module(made, name)


@contextlib.contextmanager
def naming_its_line(name: str) -> Iterator[None]:
    """Makes every error of a user's own network one line that says where in its file it was.

    Raises:
        ConfigError: that line.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, JaxticketError) or NETWORKS.is_own(proper_name(name)):
            raise
        file = Path(inspect.getfile(inspect.unwrap(network(name).factory)))
        line = line_of(file, error)
        where = f" ({file.name}, line {line})" if line else ""
        said = str(error).strip().partition("\n")[0]  # what follows in JAX's are explanations
        raise ConfigError(f"network {name!r}: {type(error).__name__}: {said or 'without a word'}{where}") from error
