"""What a search goes by, and what it found: printed, as `sweep.csv` and `sweep.json`."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from jaxticket.core.errors import ConfigError
from jaxticket.lab.search import DrawnTrial
from jaxticket.lab.sweep import Entry
from jaxticket.report.controls import is_control
from jaxticket.report.files import read_study
from jaxticket.report.groups import Group, group_rows
from jaxticket.report.sweep import print_results, results, write_results


def validation_score(folder: Path) -> float:
    """What a search makes higher: the best validation accuracy at the end of the branches of an experiment.

    Of each branch that is not a control the last level counts, its mean over the seeds; the dense networks count where
    there is nothing else. Where no accuracy is measured it is the negative of the lowest loss.

    Raises:
        ConfigError: there are no validation scores.
        JaxticketError: the folder is not that of an experiment.
    """
    last: dict[str, Group] = {group.name: group for group in group_rows(read_study(folder).rows)}
    sparse = [group for group in last.values() if group.branch != "dense" and not is_control(group.branch)]
    for name, sign in (("val_accuracy", 1), ("val_loss", -1)):
        known = [sign * mean for group in sparse or last.values() if (mean := group.mean(name)) is not None]
        if known:
            return max(known)
    raise ConfigError(f"{folder}: has no validation scores to search by; set config.data.val_fraction above 0")


def print_search(
    trials: Sequence[DrawnTrial], entries: Sequence[Entry], workdir: Path, folder: Path, *, whole: bool
) -> None:
    """Prints the trials as a sweep, the best of them and how to run it; writes the results of a `whole` search."""
    rows = results(entries, workdir)
    print_results(entries, rows)
    scored = [(trial.score, -place) for place, trial in enumerate(trials) if trial.score is not None]
    if scored:
        score, place = max(scored)
        trial = trials[-place]
        overrides = shlex.join(f"--config.{key}={value}" for key, value in trial.overrides.items())
        print(f"best     trial {trial.number}, {score:.4f}: {overrides}")
    if whole and all(trial.finished for trial in trials):
        print(f"search   {write_results(entries, rows, workdir, folder)}")
