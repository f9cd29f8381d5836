"""An experiment from its options to its folder."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxticket import storage
from jaxticket.core.errors import ConfigError
from jaxticket.lab.config import config_hash
from jaxticket.lab.dry_run import make_plan
from jaxticket.lab.lab import Lab
from jaxticket.lab.loggers import make_loggers
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.recorder import FolderRecorder
from jaxticket.lab.registry import Experiment
from jaxticket.lab.stages.rerun import Rerun, forget
from jaxticket.parallel import processes
from jaxticket.training.background import quiet_background
from jaxticket.training.interrupts import Interrupts
from jaxticket.training.progress import MultiProgress, Progress, Quiet


def run_experiment(
    experiment: Experiment,
    options: ExperimentOptions,
    workdir: Path,
    *,
    command: str = "",
    progress: Callable[[int], Progress] | None = None,
    interrupts: Interrupts | None = None,
    rerun: Rerun | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Runs what is not done yet.

    Args:
        experiment: what to run.
        options: of the experiment.
        workdir: the folder of all experiments and their shared stages.
        command: how it was called, for the record.
        progress: makes, from the number of networks, what shows the progress.
        interrupts: says whether to stop.
        rerun: which finished stages are done again; none by default.

    Returns:
        The experiment's folder and the content of its `summary.json`.

    Raises:
        JaxticketError: bad options, missing data, training that cannot go on, or the same is being run by another.
        InterruptedRun: a stop was asked for; call again to continue.
    """
    plan = make_plan(experiment, options, workdir, rerun=rerun)
    if rerun:
        rerun.check({stage.kind for stage in plan.stages})
    layout = plan.lab.setting.layout_of(options.train)
    with _own_folder(plan.folder, workdir) as folder, storage.attempt(folder) as holder:
        if holder is not None:
            raise ConfigError(f"{plan.folder} is being written by the same command, process {holder}; wait or stop it")
        name, stages = config_hash(experiment.name, options), [stage.id for stage in plan.stages]
        recorder = FolderRecorder(folder, experiment.name, options, name, command, layout, stages)
        processes.wait_for_all("record")
        processes.wait_until_seen(plan.folder / "config.json")
        told: list[Progress] = []
        if processes.is_writer():
            told = [progress(len(plan.networks)) if progress else Quiet(), *make_loggers(options, folder)]
        shown = recorder.progress = MultiProgress(told)
        try:
            if rerun and processes.is_writer():
                rerun.begin(folder)
            kept_in = plan.lab.stages.folder
            lab = Lab(options, kept_in, recorder=recorder, progress=shown, interrupts=interrupts, rerun=rerun)
            if "dataset" in vars(plan.lab.setting):
                lab.setting.share_data(plan.lab.setting)
            recorder.describe(lab.setting)
            if plan.made_by_others:
                recorder.remark(plan.made_by_others)
            with quiet_background(shown.note):
                experiment.load()(lab, options)
        finally:
            shown.close()
        recorder.finish()
        if not (rerun and rerun.what):  # what an interrupted rerun has left to do is not missed any more
            forget(folder)
    return plan.folder, recorder.summary


@contextlib.contextmanager
def _own_folder(folder: Path, workdir: Path) -> Iterator[Path]:
    """Where this process keeps its record: the experiment's folder, or for all but process 0 one that nobody reads."""
    if not processes.is_writer():
        with tempfile.TemporaryDirectory(prefix="jaxticket-") as scratch:
            yield Path(scratch) / folder.name
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--workdir={str(workdir)!r}: cannot be written to ({error.strerror})") from error
    yield folder
