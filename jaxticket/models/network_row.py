"""What is known of a network: its class, or the function that makes it, and how that is called. It loads no JAX."""

import copy
import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxticket.core.checks import shown
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import parse, unknown_key
from jaxticket.models.architecture import Architecture

# The names by which networks are told whether they train -> what they are told then.
MODES = {
    **dict.fromkeys(("train", "training", "is_training"), True),
    **dict.fromkeys(("deterministic", "use_running_average", "inference"), False),
}
# The names by which they take the number of classes, and the shape of an image.
_CLASSES = ("num_classes", "n_classes", "classes", "num_labels", "n_labels", "num_outputs")
_SHAPES = ("image_shape", "input_shape")


@dataclasses.dataclass(frozen=True)
class Network:
    """A network that can be chosen by name.

    Attributes:
        name: by which it is chosen.
        factory: an `Architecture`; or a class of Linen or of NNX modules that give logits [batch, classes], or a
            function that returns such a module. They are called with (x), or with (x, train) or another of `MODES`.
            Fields or arguments are those of `fixed` and the options; `num_classes`, or another usual name of it; for
            NNX `rngs`; and `image_shape`, where there is such an argument, is (height, width, channels).
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
        modes = MODES if isinstance(self.factory, type) else ()
        own = {*_CLASSES, *_SHAPES, *modes, "parent", "name", "rngs", *self.fixed}
        return {name: field for name, field in found.items() if name not in own}

    @property
    def takes_rngs(self) -> bool:
        """Whether the factory has the argument by which NNX modules draw their weights."""
        return "rngs" in self._parameters

    @functools.cached_property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        made_by = self.factory.__init__ if isinstance(self.factory, type) else self.factory
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        parameters = inspect.signature(made_by).parameters.values()
        return {p.name: p for p in parameters if p.name != "self" and p.kind in named}

    def arguments(
        self, num_classes: int, image_shape: tuple[int, int, int] | None, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What the factory is called with, for a number of classes and images (height, width, channels).

        Raises:
            ConfigError: it needs the shape of images, and there is none.
        """
        shape_name = next((name for name in _SHAPES if name in self._parameters), "")
        if shape_name and image_shape is None:
            raise ConfigError(f"network {self.name!r}: is built for images of one shape; give image_shape")
        classes = {name: num_classes for name in _CLASSES if name in self._parameters}
        return {**self.fixed, **options, **classes, **({shape_name: image_shape} if shape_name else {})}

    def parse(self, options: Mapping[str, Any], where: str) -> dict[str, Any]:
        """All options, those that are given and the defaults of the others; see `check_model`."""
        for key in options:
            if key not in self.option_fields:
                raise ConfigError(unknown_key(f"{where}.{key}", key, list(self.option_fields)))
        missing = [name for name, field in self.option_fields.items() if has_no_default(field) and name not in options]
        if missing:
            example = dict.fromkeys(missing, 8)
            raise ConfigError(
                f"config.{where}: {self.name} needs {' and '.join(missing)}, without a default; give such as {example}"
            )
        if isinstance(self.factory, type) and issubclass(self.factory, Architecture):
            network: Any = parse(self.factory, {**self.fixed, **options}, where)
        else:
            hints = [(name, _readable(field.type), copy.copy(field)) for name, field in self.option_fields.items()]
            network = parse(dataclasses.make_dataclass(f"{self.name}_options", hints, kw_only=True), options, where)
        return {name: getattr(network, name) for name in self.option_fields}


def has_no_default(field: "dataclasses.Field[Any]") -> bool:
    """Whether an option must be given."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


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
