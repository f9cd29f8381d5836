"""A narrower network with about as many parameters as a sparse one has left."""

import dataclasses
import functools
from typing import Any

import jax

from jaxticket import models
from jaxticket.core import paths
from jaxticket.core.errors import ConfigError
from jaxticket.lab.setting import Setting
from jaxticket.models.options import ModelOptions


def small_dense(setting: Setting, parameters: int) -> tuple[ModelOptions, int]:
    """The network of the same depth whose size is closest to `parameters`, all widths scaled alike.

    Widths are tried in steps of one channel of the first layer (Ma et al. 2021, section 2.1, leave the rule open).

    Returns:
        Its options, and its number of parameters.

    Raises:
        ConfigError: the network has no width to choose.
    """
    model = setting.options.model
    width = models.check_model(model.name, model.options).get("width")
    if width is None:
        raise ConfigError(
            f"config.settings: 'sdt' needs a network with an option width, and {model.name} has none; leave it out"
        )
    channels = _first_channels(setting.shapes.params)

    def narrower(k: int) -> ModelOptions:
        scaled = k * width / channels
        return dataclasses.replace(
            model, options={**model.options, "width": int(scaled) if type(width) is int else scaled}
        )

    def size(k: int) -> int:
        return _parameters(setting, narrower(k))

    # Sizes grow with the width: the last one that is not above what is asked for, or the one after it.
    low, high = 1, channels
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) <= parameters else (low, middle)
    best = min((low, high), key=lambda k: (abs(size(k) - parameters), k))
    return narrower(best), size(best)


def _parameters(setting: Setting, model: ModelOptions) -> int:
    try:
        return _counted(
            model.name, setting.options.data.num_classes, tuple(sorted(model.options.items())), setting.image_shape
        )
    except ConfigError as error:
        raise ConfigError(
            f"config.settings: 'sdt' needs any width, and {model.name} refuses {model.options['width']}; leave it out"
        ) from error


# A study asks for every sparsity, seed and learning rate, and tracing a deep network takes a second.
@functools.lru_cache(maxsize=4096)
def _counted(name: str, classes: int, options: tuple[tuple[str, Any], ...], image_shape: tuple[int, int, int]) -> int:
    network = models.create_model(name, num_classes=classes, image_shape=image_shape, **dict(options))
    return sum(leaf.size for leaf in jax.tree.leaves(models.abstract_variables(network, image_shape)[0]))


def _first_channels(params: Any) -> int:
    """The number of channels of the layer that sees the image."""
    kernels = {path: leaf for path, leaf in paths.leaves(params).items() if path.endswith("kernel")}
    first = next((path for path in kernels if "stem" in path.split("/")), None) or min(kernels)
    return kernels[first].shape[-1]
