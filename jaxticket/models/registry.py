"""Networks by name: one `Network` each, the package's own and those of users.

Names and options are checked before Flax and JAX are imported.
"""

import copy
import dataclasses
import difflib
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jaxticket.core.checks import shown
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import parse, unknown_key
from jaxticket.core.registry import Registry
from jaxticket.models.architecture import Architecture

if TYPE_CHECKING:
    from flax import linen as nn


@dataclasses.dataclass(frozen=True)
class Network:
    """A network that can be chosen by name.

    Attributes:
        name: by which it is chosen.
        factory: an `Architecture`; or a class of Linen or of NNX modules that are called with (x) or (x, train) and
            give logits [batch, classes]. Its fields or arguments are `num_classes`, those of `fixed` and its options,
            all with defaults; one of NNX also takes `rngs`. `image_shape`, where there is such an argument, is
            (height, width, channels).
        fixed: what makes this network of the class: its depth, its blocks.
        aliases: other names by which it is known -> the options that such a name stands for.
        version: raised when the same name and options come to mean another network; enters the keys of stages.
        train: the keys of `config.train` with which it is customarily trained; where no optimizer is among them, the
            others are those of the ResNets of CIFAR.
        small_images: options with which it takes images of 8x8 pixels.
        prune_all: whether the stem and the head are pruned by default, too.
    """

    name: str
    factory: Callable[..., Any]
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    aliases: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    version: int = 1
    train: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    small_images: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    prune_all: bool = False

    def __post_init__(self) -> None:
        """Refuses what makes no networks."""
        if not callable(self.factory):
            raise ConfigError(f"network {self.name!r}: factory={shown(self.factory)}: must be a class of networks")

    @functools.cached_property
    def option_fields(self) -> dict[str, dataclasses.Field[Any]]:
        """The options, by name, with their defaults and limits."""
        if dataclasses.is_dataclass(self.factory):
            found = {field.name: field for field in dataclasses.fields(self.factory) if field.init}
        else:
            found = {name: _as_field(parameter) for name, parameter in self._parameters.items()}
        own = {"num_classes", "image_shape", "parent", "name", "rngs", *self.fixed}
        return {name: field for name, field in found.items() if name not in own}

    def takes(self, argument: str) -> bool:
        """Whether the factory has an argument of this name."""
        return argument in self._parameters

    @functools.cached_property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        made_by = self.factory.__init__ if isinstance(self.factory, type) else self.factory
        return {name: p for name, p in inspect.signature(made_by).parameters.items() if name != "self"}

    def parse(self, options: Mapping[str, Any], where: str) -> dict[str, Any]:
        """All options, those that are given and the defaults of the others; see `check_model`."""
        for key in options:
            if key not in self.option_fields:
                raise ConfigError(unknown_key(f"{where}.{key}", key, list(self.option_fields)))
        if isinstance(self.factory, type) and issubclass(self.factory, Architecture):
            network: Any = parse(self.factory, {**self.fixed, **options}, where)
        else:
            hints = [(name, _readable(field.type), copy.copy(field)) for name, field in self.option_fields.items()]
            network = parse(dataclasses.make_dataclass(f"{self.name}_options", hints, kw_only=True), options, where)
        return {name: getattr(network, name) for name in self.option_fields}


def _own() -> Iterator[Network]:
    """The package's rows: every module of `networks` registers its own when it is imported."""
    from jaxticket.models import networks

    for module in pkgutil.iter_modules(networks.__path__, f"{networks.__name__}."):
        importlib.import_module(module.name)
    yield from ()


NETWORKS: Registry[Network] = Registry("network", Network, _own, make=Network)


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
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
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
    if options.get("dtype") == "float32" and "dtype" not in row.option_fields:
        del options["dtype"]  # what a network without the option computes in
    checked = row.parse(options, "model.options")
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise ConfigError(f"num_classes={num_classes!r}: must be a whole number of at least 1")
    arguments = {**row.fixed, **checked}
    if isinstance(row.factory, type) and issubclass(row.factory, Architecture):
        return row.factory(**arguments).module(num_classes)
    from jaxticket.models import linen

    arguments["num_classes"] = num_classes
    if row.takes("image_shape"):
        if image_shape is None:
            raise ConfigError(f"network {row.name!r}: is built for images of one shape; give image_shape")
        arguments["image_shape"] = image_shape
    return linen.from_nnx(row.factory, arguments) if linen.is_nnx(row.factory) else row.factory(**arguments)


def _as_field(parameter: inspect.Parameter) -> "dataclasses.Field[Any]":
    """An argument of a class or function as the field of a dataclass."""
    default = dataclasses.MISSING if parameter.default is parameter.empty else parameter.default
    field: Any = dataclasses.field(default=default)
    field.type = parameter.annotation
    return field


def _readable(hint: Any) -> Any:
    """A type by which a value given in a configuration is checked; Any for those that cannot be."""
    for kind in (bool, int, float, str):
        if hint in (kind, kind.__name__):
            return kind
    return Any
