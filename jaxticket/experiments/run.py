"""An experiment from its options to its folder, and the plan of one."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxticket.core.errors import ConfigError
from jaxticket.experiments.config import config_hash
from jaxticket.experiments.lab import Lab
from jaxticket.experiments.options import ExperimentOptions
from jaxticket.experiments.record import Record
from jaxticket.experiments.registry import Experiment
from jaxticket.experiments.stages import Stage
from jaxticket.experiments.watching import onlookers
from jaxticket.training.interrupts import Interrupts
from jaxticket.training.progress import Progress, Quiet
from jaxticket.training.several import Several
from jaxticket.training.writers import check_writers


@dataclasses.dataclass(frozen=True)
class Plan:
    """What an experiment would do.

    Attributes:
        folder: the experiment's own folder.
        stages: every stage in order; `cached` says whether it is done.
        lab: knows the network, the data set and the duration.
    """

    folder: Path
    stages: list[Stage]
    lab: Lab

    @property
    def networks(self) -> list[Stage]:
        """The training runs."""
        return [stage for stage in self.stages if stage.kind == "train"]


def experiment_folder(experiment: Experiment, options: ExperimentOptions, workdir: Path) -> Path:
    """`WORKDIR/<name>-<hash8>`."""
    return workdir / f"{options.name or experiment.name}-{config_hash(experiment.name, options)}"


def make_plan(experiment: Experiment, options: ExperimentOptions, workdir: Path) -> Plan:
    """Goes through the experiment without running anything; wrong combinations are found here.

    Raises:
        ConfigError: the experiment cannot be run as asked.
    """
    check_writers(options.writers)
    lab = Lab(options, workdir / "stages", execute=False)
    experiment.load()(lab, options)
    return Plan(experiment_folder(experiment, options, workdir), list(lab.cache.asked.values()), lab)


def run_experiment(
    experiment: Experiment,
    options: ExperimentOptions,
    workdir: Path,
    *,
    command: str = "",
    progress: Callable[[int], Progress] | None = None,
    interrupts: Interrupts | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Runs what is not done yet.

    Args:
        experiment: what to run.
        options: what it is told.
        workdir: the folder of all experiments and their shared stages.
        command: how it was called, for the record.
        progress: makes, from the number of networks, what is told what happens.
        interrupts: asked whether to stop.

    Returns:
        The experiment's folder and the content of its `summary.json`.

    Raises:
        JaxticketError: bad options, missing data or training that cannot go on.
        InterruptedRun: a stop was asked for; calling again goes on.
    """
    plan = make_plan(experiment, options, workdir)
    try:
        record = Record(plan.folder, experiment.name, options, config_hash(experiment.name, options), command)
    except OSError as error:
        raise ConfigError(f"--workdir={str(workdir)!r}: cannot be written to ({error.strerror})") from error
    watching = onlookers(options, plan.folder)
    shown = Several([progress(len(plan.networks)) if progress else Quiet(), *watching])
    try:
        lab = Lab(options, plan.lab.cache.folder, record=record, progress=shown, interrupts=interrupts)
        record.describe(lab)
        experiment.load()(lab, options)
    finally:
        shown.close()
    record.finish()
    return plan.folder, record.summary
