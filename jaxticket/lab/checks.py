"""Checks of an experiment by its options, the shapes of its network and the sizes of its data set alone."""

import os

import jax

from jaxticket.core import paths
from jaxticket.core.errors import ConfigError
from jaxticket.core.rules import check_used
from jaxticket.core.spans import check_spans
from jaxticket.lab.setting import Setting
from jaxticket.parallel.mesh import names_parameter

# Float32 weights, their gradients and one moment.
_BYTES_A_PARAMETER = 3 * 4


def check_setting(setting: Setting) -> None:
    """Refuses what does not fit into training, has no effect on the network or does not fit into memory.

    Raises:
        ConfigError: naming the key.
    """
    options = setting.options
    check_spans(options, setting.length)
    _check_memory(setting)
    names = list(paths.leaves(setting.shapes.params))
    check_used(options.mesh.rules, names, "mesh.rules", matches=names_parameter)
    prune = getattr(options, "prune", None)
    if prune is not None:
        check_used(prune.rules, names, "prune.rules")


def _check_memory(setting: Setting) -> None:
    """Refuses a network that the memory cannot hold; an accelerator's is its own matter."""
    options, parameters = setting.options, setting.parameters
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = parameters * (_BYTES_A_PARAMETER if jax.default_backend() == "cpu" else 4) // options.mesh.fsdp
    if needed > memory:
        raise ConfigError(
            f"config.model.options={options.model.options!r}: {options.model.name} has {parameters:,} parameters, "
            f"which train in {needed / 1e9:,.0f} GB, and this machine has {memory / 1e9:,.0f} GB; make it narrower"
        )
