"""The network of a configuration."""

import dataclasses
from typing import Any

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.models.registry import check_model, proper


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """Which network.

    Attributes:
        name: a registered network; `jaxticket.models.names()` lists them. An alias is replaced by the network's own
            name and options at once. Or `FILE.py:NAME`, a class of Linen or NNX modules or a function that returns one.
        options: options of the network, its fields or arguments. Set the compute dtype with
            `train.compute_dtype` instead.

    Example:
        >>> from jaxticket import models
        >>> models.ModelOptions("resnet20").name
        'resnet20'
    """

    name: str = option("lenet300")
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        name, options = proper(self.name, self.options)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "options", options)

    def check(self, where: str) -> None:
        """Refuses unknown names, options and values, without importing Flax or JAX."""
        prefix = f"{where}.options"
        if "dtype" in self.options:
            raise ConfigError(f"config.{prefix}.dtype: no such key; set config.train.compute_dtype instead")
        for key, value in self.options.items():
            if callable(value):
                raise ConfigError(f"config.{prefix}.{key}={value!r}: must be a name, not a function")
        check_model(self.name, self.options, where)
