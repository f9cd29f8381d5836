"""Small finished runs that tests of several rooms read."""

import pytest

from jaxticket.experiments import default_config, resolve, run_experiment
from jaxticket.lab.stages.references import stage_in


def imp_options(**changes):
    """The options of a small IMP run on digits, with keys such as `train.epochs` changed."""
    config = default_config("imp")
    config.levels = 3
    config.train.epochs = 2
    config.train.batch_size = 128
    config.train.optimizer = "adam"
    config.train.lr = 0.003
    with config.unlocked():
        config.update_from_flattened_dict(changes)
    return resolve(config)


def made_from(folder):
    """What the finished stage in a folder was made from; empty where there is none, or it did not say."""
    stage = stage_in(folder)
    return {} if stage is None else stage.made_from


class Run:
    """A finished experiment, and what it was made of."""

    def __init__(self, workdir, experiment, options):
        self.workdir, self.experiment, self.options = workdir, experiment, options
        self.folder, self.summary = run_experiment(experiment, options, workdir)
        self.rows = self.summary["rows"]

    def stage(self, row):
        return self.workdir / "stages" / row["stage"]


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """IMP of lenet300 on digits: three levels, one seed, two epochs each."""
    return Run(tmp_path_factory.mktemp("imp"), *imp_options())


@pytest.fixture(scope="session")
def make_run():
    return lambda workdir, **changes: Run(workdir, *imp_options(**changes))
