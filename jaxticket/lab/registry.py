"""The experiments: one object for each, which says all that is known of it before it runs."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from jaxticket.core.checks import shown
from jaxticket.core.errors import ConfigError
from jaxticket.core.lazy import check_loadable, load_object
from jaxticket.core.registry import Registry
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.row import Column, check_added

if TYPE_CHECKING:
    from jaxticket.lab.lab import Lab

# Where the package's own experiments are: every module, or folder, of this package that has an `EXPERIMENT`.
_OWN = "jaxticket.experiments"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """An experiment.

    Functions may be given by name, `package.module:function`: their modules are imported when they are needed, so that
    options can be read and refused at once.

    Attributes:
        name: by which a config chooses it, `config.experiment`.
        title: the heading of its report.
        question: what it answers, one sentence for tables of experiments.
        options: its keys and their defaults.
        run: does it: called with a `Lab` and the options.
        paper: where it was published first, with the arXiv number; empty for none.
        recipes: sets the keys of a config for a network on a data set: called with the config, `model`, `dataset` and
            what else it takes, all texts; these are the arguments of the experiment's config file, with the function's
            defaults.
        columns: of its rows, in addition to those of every experiment.
        sections: make the sections of its report that other experiments lack, in order: each takes a
            `jaxticket.report.Study` and returns a `jaxticket.report.Section`, or None where it has nothing to say.
    """

    name: str
    title: str
    question: str
    options: type[ExperimentOptions]
    run: "str | Callable[[Lab, Any], None]"
    paper: str = ""
    recipes: str | Callable[..., None] = "jaxticket.lab.presets:apply_preset"
    columns: tuple[Column, ...] = ()
    sections: tuple[str | Callable[..., Any], ...] = ()

    def __post_init__(self) -> None:
        """Refuses what is not of its kind, and columns of names that every row has."""
        who = f"experiment {self.name!r}:"
        if not (isinstance(self.options, type) and issubclass(self.options, ExperimentOptions)):
            raise ConfigError(f"{who} options={shown(self.options)}: must be a subclass of ExperimentOptions")
        check_loadable(f"{who} run", self.run)
        check_loadable(f"{who} recipes", self.recipes)
        for key in ("columns", "sections"):
            if not isinstance(getattr(self, key), tuple):
                raise ConfigError(f"{who} {key}={shown(getattr(self, key))}: must be a tuple")
        for section in self.sections:
            check_loadable(f"{who} a section", section)
        for column in self.columns:
            if not isinstance(column, Column):
                raise ConfigError(f"{who} columns has {shown(column)}; must be a Column")
        check_added(f"{who} columns", [column.name for column in self.columns])

    def load(self) -> "Callable[[Lab, Any], None]":
        """The function `run`."""
        return load_object(self.run)

    def load_recipe(self) -> Callable[..., None]:
        """The function `recipes`."""
        return load_object(self.recipes)


def _own() -> Iterator[Experiment]:
    package = importlib.import_module(_OWN)
    for module in pkgutil.iter_modules(package.__path__, f"{_OWN}."):
        yield importlib.import_module(module.name).EXPERIMENT


experiments: Registry[Experiment] = Registry("experiment", Experiment, _own)


def register(experiment: Experiment) -> Experiment:
    """Adds an experiment and returns it; a file that is executed again replaces its own.

    Raises:
        ConfigError: it is no `Experiment`; another one has that name.
    """
    return experiments.register(experiment)


def names() -> list[str]:
    """The names of all experiments, in alphabetical order; those that were registered come last."""
    return experiments.names()


def get_experiment(name: object) -> Experiment:
    """The experiment of that name.

    Raises:
        ConfigError: there is none.
    """
    return experiments.get(name, "experiment")
