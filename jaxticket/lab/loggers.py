"""Loggers of an experiment's training runs: curves for other tools, and a trace of some steps."""

from pathlib import Path

from jaxticket.core.options import to_dict
from jaxticket.lab.options import ExperimentOptions
from jaxticket.training.profiling import Profiler
from jaxticket.training.progress import Progress
from jaxticket.training.writers import Curves, open_writers


def make_loggers(options: ExperimentOptions, folder: Path) -> list[Progress]:
    """What the options ask for; nothing if they do not.

    Raises:
        ConfigError: a writer whose package is not installed.
    """
    found: list[Progress] = []
    if options.writers:
        found.append(Curves(open_writers(options.writers, folder, to_dict(options))))
    if options.profile_steps:
        found.append(Profiler(folder / "profile", options.profile_steps))
    return found
