"""The table of networks: their names, their options and where their code is.

It imports neither Flax nor JAX, so that a configuration is checked before they load. A network is added by
a module with its Linen class and a row here, whose options are the class's fields with the same defaults
(the option `init` is the field `weight_init`, for a Linen module has a method `init`).
"""

import dataclasses
from typing import Any

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option

ACTIVATIONS = ("relu", "swish", "mish", "gelu", "softplus", "elu", "lisht", "tanh")
DTYPES = ("float32", "bfloat16")
INITS = ("glorot_normal", "he_normal", "he_normal_fan_in", "torch")


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """What every network is told.

    Attributes:
        activation: one of `ACTIVATIONS`, or, outside of configurations, any function of one array.
        dtype: of activations; parameters are always float32.
        init: scheme of the initial weights, see `initializers`.
    """

    activation: Any = "relu"
    dtype: str = option("float32", choices=DTYPES)
    init: str = option("he_normal", choices=INITS)

    def check(self, where: str) -> None:
        """Refuses an activation that is neither a known name nor a function."""
        if not callable(self.activation) and self.activation not in ACTIVATIONS:
            raise ConfigError(
                f"config.{where}.activation={self.activation!r}: must be one of {', '.join(ACTIVATIONS)}, "
                f"or a function given to create_model"
            )


@dataclasses.dataclass(frozen=True)
class LeNet300Options(NetworkOptions):
    """Options of `lenet300`."""

    init: str = option("glorot_normal", choices=INITS)


@dataclasses.dataclass(frozen=True)
class LeNet5Options(NetworkOptions):
    """Options of `lenet5`.

    Attributes:
        batch_norm: whether a batch normalisation follows each convolution.
        head_input: how the last maps become a vector: `pool` averages each, `flatten` keeps all values.
        padding: of the convolutions; `valid` is none and needs images of 16x16 or more.
    """

    init: str = option("glorot_normal", choices=INITS)
    batch_norm: bool = option(False)
    head_input: str = option("pool", choices=("pool", "flatten"))
    padding: str = option("valid", choices=("valid", "same"))


@dataclasses.dataclass(frozen=True)
class Conv2Options(NetworkOptions):
    """Options of `conv2`.

    Attributes:
        batch_norm: whether a batch normalisation follows each convolution.
        width: channels of the convolutions; the hidden dense layers have four times as many units.
    """

    init: str = option("glorot_normal", choices=INITS)
    batch_norm: bool = option(False)
    width: int = option(64, minimum=1)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A row of the table.

    Attributes:
        module: the module of `jaxticket.models` with the network's class.
        factory: the class; its fields are `num_classes` and those of `options`.
        options: the dataclass of the network's options.
        aliases: other names by which it is known.
    """

    module: str
    factory: str
    options: type[NetworkOptions]
    aliases: tuple[str, ...] = ()


ARCHITECTURES: dict[str, Architecture] = {
    "lenet300": Architecture("lenet", "LeNet300", LeNet300Options, aliases=("fc1",)),
    "lenet5": Architecture("lenet", "LeNet5", LeNet5Options),
    "conv2": Architecture("convnet", "Conv2", Conv2Options),
}
