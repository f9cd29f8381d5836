"""The experiments by name: what each is told, and where its function is."""

import dataclasses
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import must_be_one_of
from jaxticket.experiments.colt.options import ColtExperiment
from jaxticket.experiments.early_bird.options import EarlyBirdExperiment
from jaxticket.experiments.sanity.options import SanityExperiment
from jaxticket.experiments.structured.options import StructuredExperiment
from jaxticket.experiments.tost.options import TostExperiment
from jaxticket.experiments.transfer.options import TransferExperiment
from jaxticket.lab.method_options import (
    AdmmExperiment,
    AtInitExperiment,
    DynamicExperiment,
    GradualExperiment,
    OneshotExperiment,
)
from jaxticket.lab.options import ExperimentOptions, ImpExperiment, TrainExperiment

if TYPE_CHECKING:
    from jaxticket.lab.lab import Lab


@dataclasses.dataclass(frozen=True)
class Experiment:
    """An experiment: its options, and the function that runs it on a lab, loaded when asked for."""

    name: str
    options: type[ExperimentOptions]

    def load(self) -> "Callable[[Lab, Any], None]":
        """The function; it has the experiment's name, in the module of that name."""
        module = f"jaxticket.experiments.{self.name}"
        if self.name in _FOLDERS:
            module += ".experiment"
        return getattr(importlib.import_module(module), self.name)


_FOLDERS = {"sanity", "structured", "early_bird", "colt", "transfer", "tost"}
_EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment("train", TrainExperiment),
        Experiment("imp", ImpExperiment),
        Experiment("oneshot", OneshotExperiment),
        Experiment("at_init", AtInitExperiment),
        Experiment("gradual", GradualExperiment),
        Experiment("dynamic", DynamicExperiment),
        Experiment("admm", AdmmExperiment),
        Experiment("sanity", SanityExperiment),
        Experiment("structured", StructuredExperiment),
        Experiment("early_bird", EarlyBirdExperiment),
        Experiment("colt", ColtExperiment),
        Experiment("transfer", TransferExperiment),
        Experiment("tost", TostExperiment),
    )
}


def names() -> list[str]:
    """The names of all experiments."""
    return list(_EXPERIMENTS)


def get_experiment(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in _EXPERIMENTS:
        raise ConfigError(f"config.experiment={name!r}: {must_be_one_of(name, names())}")
    return _EXPERIMENTS[name]
