"""Experiments: stages done once each, and what is made of them."""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.experiments.config import config_hash as config_hash
    from jaxticket.experiments.config import default_config as default_config
    from jaxticket.experiments.config import parse_arguments as parse_arguments
    from jaxticket.experiments.config import resolve as resolve
    from jaxticket.experiments.lab import Lab as Lab
    from jaxticket.experiments.registry import names as names
    from jaxticket.experiments.run import make_plan as make_plan
    from jaxticket.experiments.run import run_experiment as run_experiment

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "config": ("config_hash", "default_config", "parse_arguments", "resolve"),
        "lab": ("Lab",),
        "registry": ("names",),
        "run": ("make_plan", "run_experiment"),
    },
)
