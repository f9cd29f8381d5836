"""The command line of sweeps: `jaxticket sweep`, and the same as `python -m jaxticket.sweep`.

What is tried is said by `--sweep KEY=VALUES`, drawn by a search, or yielded by the generator `sweep` of a config file:
dictionaries of overrides, such as `{"train.lr": 0.1, "seed": 3}`. Each is one experiment.
"""

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from jaxticket import signals
from jaxticket.core.errors import ConfigError, TrainingError
from jaxticket.core.text_table import text_table
from jaxticket.main import CommandEnd, in_terminal, print_result, read_flags, until_stopped

if TYPE_CHECKING:
    from jaxticket.lab.stages.references import Stage
    from jaxticket.lab.sweep import Entry

USAGE = """\
usage: PROG --config=NAME[:ARGS] [--config.KEY=VALUE ...] [FLAG ...]

  --config=NAME          a config file that comes with the package, or a Python file of yours; ARGS go to it
  --config.KEY=VALUE     overrides a key in every experiment of the sweep
  --sweep KEY=A,B,C      values to try of a key, such as --sweep train.lr=0.1,0.01; given for several keys, all
                         combinations are tried
  --search=optuna        draw values instead, towards the best validation accuracy; ranges are --sweep KEY=LOW..HIGH
                         and, even in the logarithm, --sweep KEY=log:LOW..HIGH
  --trials=N             how many experiments a search makes, those of all its tasks together
  --workdir=DIR          where experiments and their shared stages are kept (default: runs)
  --index=I              runs only experiment I, from 0; --index=3-7 runs five of them
  --count                print how many experiments there are, and do nothing
  --dry_run              list the experiments and what is to do, and do nothing
  --rerun                do again what is done already; --rerun=train only stages of that kind, --rerun=changed only
                         what other sources of jaxticket made
  --help                 print this

Without --sweep, sweep() of the config file yields dictionaries such as {"train.lr": 0.1, "seed": 3}, one for each
experiment: get_config() with these keys changed. Experiments run one after the other and share their stages; the same
command again goes on where it was stopped. In an array job, --index="$SLURM_ARRAY_TASK_ID" runs one of them in each
task; of a search every task is the same command, without it.
Exit codes: 0 done, 1 training failed, 2 bad input, 75 stopped by a signal (start again to go on)."""


def main(arguments: Sequence[str] | None = None, prog: str = "python -m jaxticket.sweep") -> int:
    """Runs the command line.

    Args:
        arguments: without the program's name; None takes them from the process.
        prog: what the program is called, in its help and in what is noted of a run.

    Returns:
        The exit code.
    """
    with CommandEnd(arguments, USAGE.replace("PROG", prog)) as end:
        if end.shows_help():
            return end.code
        strings, switches = ("index", "search", "trials"), ("count",)
        values = read_flags(end.arguments, strings=strings, switches=switches, lists=("sweep",))
        from jaxticket.lab.sweep import make_entries, plans_of, read_sweep
        from jaxticket.lab.swept_keys import combinations, read_swept_keys

        flag = cast(Any, values["config"])  # knows the file and the command line's overrides by themselves
        overrides = flag.override_values
        swept, command = read_swept_keys(values.sweep, values.config, overrides), f"{prog} {shlex.join(end.arguments)}"
        if values.search is not None or values.trials is not None:
            from jaxticket.search import run_search

            run_search(values, overrides, swept, command)
            return end.code
        entries = make_entries(
            values.config, combinations(swept) if swept else read_sweep(flag.config_filename), overrides
        )
        chosen = _chosen(values.index, entries)
        if values.count:
            print(len(entries))
            return 0
        workdir = Path(values.workdir)
        with until_stopped() as interrupts:
            from jaxticket.lab.config import experiment_folder
            from jaxticket.lab.stages.rerun import Rerun

            folders = [experiment_folder(entry.experiment, entry.options, workdir) for entry in chosen]
            rerun = Rerun(values.rerun or "", folders)
            plans = plans_of(chosen, workdir, rerun)
            rerun.check({stage.kind for plan in plans for stage in plan.stages})
            if values.dry_run:
                _print_dry_runs(entries, chosen, plans)
            else:
                _execute(entries, chosen, workdir, interrupts, command, rerun)
                rerun.finish()
    return end.code


def _chosen(index: str | None, entries: "list[Entry]") -> "list[Entry]":
    """The entries that `--index` names."""
    if index is None:
        return entries
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", index)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, -1)
    if not first <= last < len(entries):
        raise ConfigError(
            f"--index={index}: must be from 0 to {len(entries) - 1}, or a range such as 0-{len(entries) - 1}"
        )
    return entries[first : last + 1]


def _print_dry_runs(entries: "list[Entry]", chosen: "list[Entry]", plans: list[Any]) -> None:
    from jaxticket.lab.dry_run_table import training_time
    from jaxticket.lab.sweep import varying
    from jaxticket.lab.training_cost import total

    keys = varying(entries)
    rows = [["entry", *keys, "cached", "to do", "folder"]]
    networks: dict[str, Stage] = {}
    for entry, plan in zip(chosen, plans, strict=True):
        cached = sum(stage.cached for stage in plan.networks)
        settings = [entry.shown(key) for key in keys]
        rows.append([str(entry.index), *settings, str(cached), str(len(plan.networks) - cached), str(plan.folder)])
        networks.update({stage.id: stage for stage in plan.networks})
    print("\n".join(text_table(rows, left=(len(keys) + 3,))))
    waiting = [stage for stage in networks.values() if not stage.cached]
    print(f"networks: {len(networks)} different ones, of which {len(waiting)} to train")
    print(f"to train  {total(stage.cost for stage in waiting)}")
    print(f"time      {training_time(plans[0], waiting)}")


def _execute(
    entries: "list[Entry]", chosen: "list[Entry]", workdir: Path, interrupts: Any, command: str, rerun: Any
) -> None:
    from jaxticket.lab.run import run_experiment
    from jaxticket.lab.sweep import varying
    from jaxticket.parallel import processes
    from jaxticket.report.sweep import print_results, results, write_results

    failed = []
    keys = varying(entries)
    for entry in chosen:
        interrupts.check()
        settings = " ".join(f"{key}={entry.shown(key)}" for key in keys)
        print(f"entry {entry.index} of {len(entries)}: {settings}", flush=True)
        index = f" --index={entry.index}" if len(chosen) > 1 else ""
        try:
            how = in_terminal(command + index)
            result = run_experiment(entry.experiment, entry.options, workdir, interrupts=interrupts, rerun=rerun, **how)
            print_result(*result)
        except TrainingError as error:  # a learning rate too high for one must not keep the others from running
            if processes.is_writer():
                print(f"error: sweep entry {entry.index}: {error}", file=sys.stderr, flush=True)
            failed.append(str(entry.index))
        print()
    if processes.is_writer():
        rows = results(entries, workdir)
        print_results(entries, rows)
        if {row["entry"] for row in rows if row["n"]} == set(range(len(entries))):
            print(f"sweep    {write_results(entries, rows, workdir)}")
    if failed:
        raise TrainingError(f"{len(failed)} of {len(chosen)} experiments failed: sweep entries {', '.join(failed)}")


if __name__ == "__main__":
    signals.own()
    sys.exit(main())
