"""The search of `jaxticket sweep --search=optuna`: trials that are drawn, run one after the other, and compared."""

import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxticket import storage
from jaxticket.core.errors import ConfigError, TrainingError
from jaxticket.core.options import digest
from jaxticket.lab.search import Search
from jaxticket.lab.sweep import Entry, make_entries, plans_of
from jaxticket.lab.swept_keys import SweptKey
from jaxticket.main import in_terminal, print_result, until_stopped

if TYPE_CHECKING:
    from jaxticket.lab.dry_run import DryRun
    from jaxticket.training.interrupts import Interrupts

_SECONDS_BETWEEN_LOOKS = 1.0


def run_search(values: Any, overrides: Mapping[str, Any], keys: Sequence[SweptKey], command: str) -> None:
    """Runs the trials of a search that are not done, and prints what all of them found.

    Args:
        values: of the flags of `jaxticket sweep`.
        overrides: flattened keys that the command line sets.
        keys: what is drawn.
        command: how it was called, for the record.

    Raises:
        ConfigError: flags that do not fit together, or a range of which an end cannot be run.
        TrainingError: no trial could be trained.
        InterruptedRun: a stop was asked for; call again to continue.
    """
    trials, workdir = _checked(values, keys), Path(values.workdir)
    first = {one.key: one.ends[0] for one in keys}
    ends = [first, *({**first, one.key: end} for one in keys for end in one.ends[1:])]
    entries = make_entries(values.config, ends, overrides)
    from jaxticket.lab.config import config_hash

    options, name = entries[0].options, entries[0].experiment.name
    key = digest([config_hash(name, options), *map(str, keys)], 8)
    folder = workdir / f"{options.name or name}-search-{key}"
    search = Search(folder, keys, trials)
    with until_stopped() as interrupts:
        from jaxticket.lab.run import make_folder
        from jaxticket.parallel import processes
        from jaxticket.report.search import print_search

        plan = plans_of(entries, workdir)[0]
        if not plan.lab.setting.split_sizes[1]:
            raise ConfigError("config.data.val_fraction=0: a search goes by the validation accuracy; leave some images")
        if values.dry_run:
            _print_plan(plan, search, keys, trials)
            return
        if processes.is_writer():
            make_folder(folder, workdir)
        try:
            failed = _run_trials(values, overrides, search, trials, interrupts, command)
        finally:
            search.release()
        if processes.is_writer():
            drawn = search.trials()
            entries = make_entries(values.config, [trial.overrides for trial in drawn], overrides)
            print_search(drawn, entries, workdir, folder, whole=len(drawn) >= trials)
        if failed and failed == trials:
            raise TrainingError(f"none of the {trials} trials could be trained; lower the range of train.lr, say")


def _checked(values: Any, keys: Sequence[SweptKey]) -> int:
    """The number of trials, of flags that fit together."""
    if values.search != "optuna":
        given = "is missing" if values.search is None else f"{values.search!r} is no search"
        raise ConfigError(f"--search: {given}; must be --search=optuna, with --trials=20 and --sweep KEY=LOW..HIGH")
    if not keys:
        raise ConfigError("--search=optuna: does not say what to draw; add --sweep train.lr=log:0.001..0.1, say")
    if values.index is not None or values.count:
        raise ConfigError("--search=optuna: takes no --index and no --count; every task is the same command")
    if values.rerun:
        raise ConfigError("--search=optuna: takes no --rerun; remove the folder of the search to begin anew")
    if not re.fullmatch(r"[1-9]\d*", values.trials or ""):
        raise ConfigError(f"--trials={values.trials or ''}: must be a whole number of at least 1, such as --trials=20")
    return int(values.trials)


def _print_plan(plan: "DryRun", search: Search, keys: Sequence[SweptKey], trials: int) -> None:
    from jaxticket.lab.dry_run_table import training_time
    from jaxticket.lab.training_cost import total

    print(f"search      {' '.join(map(str, keys))}")
    print(f"trials      {trials}, of which {len(search.trials())} are drawn")
    print(f"a trial     {total(stage.cost for stage in plan.networks)}")
    print(f"time of it  {training_time(plan, plan.networks)}")
    print(f"results in  {search.folder}")


def _run_trials(
    values: Any, overrides: Mapping[str, Any], search: Search, trials: int, interrupts: "Interrupts", command: str
) -> int:
    """Runs trials until there are none left to begin; how many of this task could not be trained."""
    from jaxticket.parallel import processes

    failed = 0
    while True:
        interrupts.check()
        taken = search.take(interrupts.check) if processes.is_writer() else None
        found = processes.broadcast(taken and [taken.number, taken.drawn])
        if found is None:
            return failed
        trial = search.trial_of(*found)
        (entry,) = make_entries(values.config, [trial.overrides], overrides)
        settings = " ".join(f"{key}={entry.shown(key)}" for key in trial.overrides)
        print(f"trial {trial.number} of {trials}: {settings}", flush=True)
        score = None
        try:
            score = _run_trial(entry, Path(values.workdir), interrupts, command)
            print(f"trial {trial.number}: {score:.4f}\n", flush=True)
        except (ConfigError, TrainingError) as error:  # a combination that does not work tells the search so
            failed += 1
            if processes.is_writer():
                print(f"error: trial {trial.number}: {error}", file=sys.stderr, flush=True)
        if processes.is_writer():
            search.tell(trial.number, score)


def _run_trial(entry: Entry, workdir: Path, interrupts: "Interrupts", command: str) -> float:
    """Runs the experiment of a trial; its score, 0 in all processes but the first."""
    from jaxticket.lab.config import experiment_folder
    from jaxticket.lab.run import run_experiment
    from jaxticket.parallel import processes
    from jaxticket.report.search import validation_score

    folder = experiment_folder(entry.experiment, entry.options, workdir)
    while processes.is_writer() and _is_run_elsewhere(folder):  # another task has drawn the same values
        interrupts.check()
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    how = in_terminal(command)
    print_result(*run_experiment(entry.experiment, entry.options, workdir, interrupts=interrupts, **how))
    return validation_score(folder) if processes.is_writer() else 0.0


def _is_run_elsewhere(folder: Path) -> bool:
    with storage.attempt(folder) as holder:
        return holder is not None
