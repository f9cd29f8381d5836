"""Networks by name; names and options are checked before Flax and JAX are imported."""

import dataclasses
import difflib
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import parse
from jaxticket.models.architectures import ARCHITECTURES
from jaxticket.models.network_options import NetworkOptions

if TYPE_CHECKING:
    from flax import linen as nn


def names() -> list[str]:
    """The names of all networks, sorted; aliases are not among them."""
    return sorted(ARCHITECTURES)


def options(name: str) -> list[str]:
    """The names of the options of the network `name`, sorted.

    Raises:
        ConfigError: there is no such network.
    """
    return sorted(field.name for field in dataclasses.fields(ARCHITECTURES[resolve(name)].options))


def version(name: str) -> int:
    """The version of the network `name`, see `architectures.Architecture`.

    Raises:
        ConfigError: there is no such network.
    """
    return ARCHITECTURES[resolve(name)].version


def aliases() -> dict[str, tuple[str, dict[str, Any]]]:
    """The other names by which networks are known -> the name proper, and the options that go with it."""
    return {
        alias: (name, dict(options)) for name, row in ARCHITECTURES.items() for alias, options in row.aliases.items()
    }


def proper(name: Any, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The name proper of a network, and its options with those that an alias stands for; unknown names stay."""
    found, implied = aliases().get(name, (name, {})) if isinstance(name, str) else (name, {})
    return found, {**implied, **options}


def resolve(name: str, where: str = "model") -> str:
    """The name proper of a network given by name or alias.

    Args:
        name: a name or an alias.
        where: the configuration key of which `name` is the value of `name`, for the message.

    Raises:
        ConfigError: there is no such network.
    """
    found, _ = proper(name, {})
    if isinstance(found, str) and found in ARCHITECTURES:
        return found
    raise ConfigError(f"config.{where}.name={name!r}: {_must_be_known(name)}")


def check_model(name: str, options: Mapping[str, Any], where: str = "model") -> NetworkOptions:
    """All options of the network `name`, those that are given and the defaults of the others.

    Args:
        name: a name or an alias.
        options: option -> value.
        where: the configuration key that holds `name` and `options`, for messages.

    Raises:
        ConfigError: an unknown name or option, or a value that is not allowed.
    """
    row = ARCHITECTURES[resolve(name, where)]
    return parse(row.options, proper(name, options)[1], f"{where}.options")


def create_model(name: str, num_classes: int, **options: Any) -> "nn.Module":
    """A network, not yet initialised.

    Called as `model.apply(variables, x, train=False)` with x float [batch, height, width, channels], it gives
    float32 logits [batch, num_classes].

    Args:
        name: one of `names()` or an alias.
        num_classes: the number of logits.
        **options: see the network's row in `architectures`; all have defaults.

    Raises:
        ConfigError: an unknown name or option, or a value that is not allowed.
    """
    checked = check_model(name, options)
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise ConfigError(f"num_classes={num_classes!r}: must be a whole number of at least 1")
    fields = {field.name: getattr(checked, field.name) for field in dataclasses.fields(checked)}
    fields["weight_init"] = fields.pop("init")
    row = ARCHITECTURES[resolve(name)]
    factory = getattr(importlib.import_module(f"jaxticket.models.{row.module}"), row.factory)
    return factory(num_classes=num_classes, **row.fixed, **fields)


def _must_be_known(name: Any) -> str:
    """What to say of an unknown name: the names proper, and the nearest of them and of all aliases."""
    known = names()
    near = difflib.get_close_matches(str(name).lower(), [*known, *aliases()], 1)
    return f"must be one of {', '.join(known)}" + (f"; did you mean {near[0]!r}?" if near else "")
