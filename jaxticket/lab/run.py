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
from jaxticket.lab.pace import Pace, keep_rate
from jaxticket.lab.recorder import FolderRecorder
from jaxticket.lab.registry import Experiment
from jaxticket.lab.stages.rerun import Rerun, forget
from jaxticket.parallel import processes
from jaxticket.training.background import quiet_background
from jaxticket.training.interrupts import InterruptedRun, Interrupts
from jaxticket.training.progress import MultiProgress, Progress, Quiet, Remaining


def run_experiment(
    experiment: Experiment,
    options: ExperimentOptions,
    workdir: Path,
    *,
    command: str = "",
    progress: Callable[[Remaining], Progress] | None = None,
    interrupts: Interrupts | None = None,
    rerun: Rerun | None = None,
    recorded: Callable[[Path, bool], None] = lambda folder, stopped: None,
) -> tuple[Path, dict[str, Any]]:
    """Runs what is not done yet.

    Args:
        experiment: what to run.
        options: of the experiment.
        workdir: the folder of all experiments and their shared stages.
        command: how it was called, for the record.
        progress: makes, of what is left of the plan, what shows the progress.
        interrupts: says whether to stop.
        rerun: which finished stages are done again; none by default.
        recorded: called with the experiment's folder after each network, and, with True, when the run ends unfinished.

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
        pace = Pace(plan.networks)
        told: list[Progress] = []
        if processes.is_writer():
            told = [pace, progress(pace) if progress else Quiet(), *make_loggers(options, folder)]
            recorder.standing, recorder.recorded = pace.to_json, lambda: recorded(folder, False)
        shown = recorder.progress = MultiProgress(told)
        try:
            if rerun and processes.is_writer():
                rerun.begin(folder)
            kept_in = plan.lab.stages.folder
            lab = Lab(options, kept_in, recorder=recorder, progress=shown, interrupts=interrupts, rerun=rerun)
            pace.done = lab.stages.asked
            if "dataset" in vars(plan.lab.setting):
                lab.setting.share_data(plan.lab.setting)
            recorder.describe(lab.setting)
            if plan.made_by_others:
                recorder.remark(plan.made_by_others)
            with quiet_background(shown.note), _unfinished_said(interrupts, recorder, recorded):
                experiment.load()(lab, options)
        finally:
            shown.close()
            if processes.is_writer() and pace.macs_per_second is not None:
                keep_rate(plan.lab.stages.folder, plan.lab.setting, pace.macs_per_second)
        recorder.finish()
        if not (rerun and rerun.what):  # what an interrupted rerun has left to do is not missed any more
            forget(folder)
    return plan.folder, recorder.summary


@contextlib.contextmanager
def _unfinished_said(
    interrupts: Interrupts | None, recorder: FolderRecorder, recorded: Callable[[Path, bool], None]
) -> Iterator[None]:
    """Has it recorded where this context is left before the experiment is complete, in whatever way."""
    interrupts = interrupts or Interrupts()

    def say() -> None:
        if processes.is_writer() and recorder.summary["rows"]:
            recorder.stop()
            recorded(recorder.folder, True)

    try:
        with interrupts.before_end(say):
            yield
    except InterruptedRun:
        interrupts.holding = True  # a report is written in less than the time that a stop may take
        say()
        processes.wait_for_all("stopped")
        raise
    except Exception:
        if not processes.is_multiprocess():  # where the others do not wait for this one
            say()
        raise


@contextlib.contextmanager
def _own_folder(folder: Path, workdir: Path) -> Iterator[Path]:
    """Where this process keeps its record: the experiment's folder, or for all but process 0 one that nobody reads."""
    if not processes.is_writer():
        with tempfile.TemporaryDirectory(prefix="jaxticket-") as scratch:
            yield Path(scratch) / folder.name
        return
    make_folder(folder, workdir)
    yield folder


def make_folder(folder: Path, workdir: Path) -> None:
    """Makes a folder within a work folder, where there is none.

    Raises:
        ConfigError: the work folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--workdir={str(workdir)!r}: cannot be written to ({error.strerror})") from error
