"""The experiments: each is one object, with its options, its function, its recipes and its report."""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.lab.config import config_hash as config_hash
    from jaxticket.lab.config import default_config as default_config
    from jaxticket.lab.config import parse_arguments as parse_arguments
    from jaxticket.lab.config import recipe_config as recipe_config
    from jaxticket.lab.config import resolve as resolve
    from jaxticket.lab.dry_run import make_plan as make_plan
    from jaxticket.lab.lab import Lab as Lab
    from jaxticket.lab.registry import Experiment as Experiment
    from jaxticket.lab.registry import names as names
    from jaxticket.lab.registry import register as register
    from jaxticket.lab.run import run_experiment as run_experiment

__getattr__, __dir__, __all__ = lazy_exports(__name__)
