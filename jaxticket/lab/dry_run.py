"""An experiment without its work: which stages there would be, and which of them are done."""

import dataclasses
from pathlib import Path

from jaxticket.lab.checks import check_setting
from jaxticket.lab.config import experiment_folder
from jaxticket.lab.lab import Lab
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.registry import Experiment
from jaxticket.lab.stages.fingerprint import made_by_others
from jaxticket.lab.stages.references import Stage
from jaxticket.lab.stages.rerun import Rerun
from jaxticket.training.writers import check_writers


@dataclasses.dataclass(frozen=True)
class DryRun:
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
    def sizes_are_estimated(self) -> bool:
        """Whether the lab, or one of its variants, goes by estimated numbers of images."""
        return any(lab.setting.sizes_are_estimated for lab in (self.lab, *self.lab.variants.values()))

    @property
    def networks(self) -> list[Stage]:
        """The training runs."""
        return [stage for stage in self.stages if stage.kind == "train"]

    @property
    def made_by_others(self) -> str:
        """One line on what is done already, but by other sources of the package; empty where nothing is."""
        return made_by_others(self.lab.stages.folder, [stage.sources for stage in self.stages if stage.cached])


def make_plan(
    experiment: Experiment, options: ExperimentOptions, workdir: Path, *, rerun: Rerun | None = None
) -> DryRun:
    """The experiment without its work: nothing is run, and wrong combinations are found.

    Args:
        experiment: what to run.
        options: of the experiment.
        workdir: the folder of all experiments and their shared stages.
        rerun: which finished stages are to be done again.

    Raises:
        ConfigError: the experiment cannot be run as asked.

    Example:
        >>> from pathlib import Path
        >>> from jaxticket import experiments
        >>> config = experiments.recipe_config("imp", "model=lenet300,dataset=digits", levels=2)
        >>> plan = experiments.make_plan(*experiments.resolve(config), Path("runs"))
        >>> [stage.kind for stage in plan.stages][:3], len(plan.networks)
        (['mask', 'init', 'train'], 3)
    """
    check_writers(options.writers)
    lab = Lab(options, workdir / "stages", execute=False, rerun=rerun)
    check_setting(lab.setting)
    experiment.load()(lab, options)
    return DryRun(experiment_folder(experiment, options, workdir), list(lab.stages.asked.values()), lab)
