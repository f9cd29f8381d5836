"""The command line of experiments: `jaxticket run`, and the same as `python -m jaxticket.main`."""

import contextlib
import functools
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxticket import signals
from jaxticket.core.command_line import stop_writing
from jaxticket.core.errors import ConfigError, JaxticketError, one_line

if TYPE_CHECKING:
    from absl import flags

    from jaxticket.training.interrupts import Interrupts

USAGE = """\
usage: PROG --config=NAME[:ARGS] [--config.KEY=VALUE ...] [FLAG ...]

  --config=NAME          a config file that comes with the package, as in --config=imp:model=lenet300,dataset=digits,
                         or a Python file of yours with get_config(); ARGS go to it
  --config.KEY=VALUE     overrides a key of it, such as --config.train.epochs=3
  --workdir=DIR          where experiments and their shared stages are kept (default: runs)
  --dry_run              print what would be done and why, and do nothing
  --rerun                do again what is done already; --rerun=train only stages of that kind, --rerun=changed only
                         what other sources of jaxticket made
  --help                 print this; with --config=NAME every key, its type, value and meaning

Started as several processes (JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID in the environment, or by
Slurm, Open MPI, Kubernetes or on TPUs) the same command trains on the devices of all of them.

The same command continues where it was stopped, and only reports when all is done.
Exit codes: 0 done, 1 training failed, 2 bad input, 75 stopped by a signal (start again to go on).

Experiments, each with a config of its name:
"""


def main(arguments: Sequence[str] | None = None, prog: str = "python -m jaxticket.main") -> int:
    """Runs the command line.

    Args:
        arguments: without the program's name; None takes them from the process.
        prog: what the program is called, in its help and in what is noted of a run.

    Returns:
        The exit code.
    """
    from jaxticket.lab.registry import experiments

    width = max(map(len, experiments.names()))
    asked = [f"  {one.name:<{width}}  {one.question}" for one in experiments]
    with CommandEnd(arguments, USAGE.replace("PROG", prog) + "\n".join(asked)) as end:
        if end.shows_help():
            return end.code
        values = read_flags(end.arguments)
        workdir = Path(values.workdir)
        from jaxticket.lab.config import resolve

        experiment, options = resolve(values.config)
        # What was checked so far took a fraction of a second; JAX and the rest load only from here on.
        with until_stopped() as interrupts:
            from jaxticket.lab.config import experiment_folder
            from jaxticket.lab.dry_run import make_plan
            from jaxticket.lab.dry_run_table import print_dry_run
            from jaxticket.lab.run import run_experiment
            from jaxticket.lab.stages.rerun import Rerun

            rerun = Rerun(values.rerun or "", [experiment_folder(experiment, options, workdir)])
            if values.dry_run:
                plan = make_plan(experiment, options, workdir, rerun=rerun)
                rerun.check({stage.kind for stage in plan.stages})
                print_dry_run(plan)
            else:
                how = in_terminal(f"{prog} {shlex.join(end.arguments)}")
                result = run_experiment(experiment, options, workdir, interrupts=interrupts, rerun=rerun, **how)
                print_result(*result)
                rerun.finish()
    return end.code


class CommandEnd:
    """Turns what ends a command, in the context of this, into a line and its exit code.

    Args:
        arguments: without the program's name; None takes them from the process.
        usage: the text of `--help`.

    Attributes:
        code: the exit code.
    """

    def __init__(self, arguments: Sequence[str] | None, usage: str) -> None:
        self.arguments = list(sys.argv[1:] if arguments is None else arguments)
        self.code = 0
        self._usage = usage

    def shows_help(self) -> bool:
        """Prints the usage, or with a config its keys, where that is asked for."""
        helps = {"--help", "-h", "-help", "--helpfull", "--helpshort"} & set(self.arguments)
        if helps and any(argument.partition("=")[0] == "--config" for argument in self.arguments):
            from jaxticket.lab.key_table import print_keys

            print_keys(read_flags([argument for argument in self.arguments if argument not in helps]).config)
        elif helps or not self.arguments:
            print(self._usage)
            self.code = 0 if helps else 2
        return bool(helps) or not self.arguments

    def __enter__(self) -> "CommandEnd":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> bool:
        if isinstance(error, JaxticketError):
            print(f"error: {error}", file=sys.stderr)
            self.code = error.exit_code
            return True
        if isinstance(error, BrokenPipeError):
            stop_writing()
            print("stopped, nothing reads the output any more; the same command continues", file=sys.stderr)
        elif isinstance(error, KeyboardInterrupt):
            print("stopped at once; the same command continues from the last checkpoint", flush=True)
        elif error is None or not _was_stopped(error):
            return False
        self.code = signals.EXIT_REQUEUE
        return True


def _was_stopped(error: BaseException) -> bool:
    """Whether an error is a stop by Ctrl-C or SIGTERM, of which it says a line."""
    from jaxticket.parallel import processes
    from jaxticket.training.interrupts import InterruptedRun

    if isinstance(error, InterruptedRun):
        signals.ignore_further_stops()
        if processes.is_writer():
            print("stopped, everything up to here is saved; the same command continues", flush=True)
    return isinstance(error, InterruptedRun)


@contextlib.contextmanager
def until_stopped() -> "Iterator[Interrupts]":
    """Within this context the devices of all processes are there, and a stop is heard by what it yields."""
    from jaxticket.parallel import launch, peers, processes
    from jaxticket.training.interrupts import InterruptedRun, Interrupts

    launch.start()
    with peers.ending_together(InterruptedRun), processes.silence_non_writers(), Interrupts() as interrupts:
        yield interrupts


def in_terminal(command: str) -> dict[str, Any]:
    """How `run_experiment` is called by a `command`: with what shows and reports it while it runs."""
    from jaxticket.report.live import LiveReport
    from jaxticket.training.progress import for_terminal

    live = LiveReport(functools.partial(print, flush=True))
    return {"command": command, "progress": for_terminal, "recorded": live}


def print_result(folder: Path, summary: Mapping[str, Any]) -> None:
    """Prints the table of an experiment, and where its report and its tickets are."""
    from jaxticket.parallel import processes
    from jaxticket.report import print_table, write_report

    if not processes.is_writer():
        return
    print_table(summary)
    report = write_report(folder, note=lambda line: print(f"note     {line}"))
    print(f"report   {report}")
    tickets = sum(1 for row in summary["rows"] if row["ticket"])
    if tickets:
        print(f"tickets  {folder / 'tickets'} ({tickets})")


def read_flags(
    arguments: Sequence[str],
    *,
    strings: Sequence[str] = (),
    switches: Sequence[str] = (),
    lists: Sequence[str] = (),
) -> "flags.FlagValues":
    """The values of the flags: `config` with its overrides, `workdir`, `dry_run`, `rerun` and those asked for.

    Args:
        arguments: without the program's name.
        strings: names of more flags that take a value; one that is not given is None.
        switches: names of more flags that are on or off.
        lists: names of more flags that may be given several times.

    Raises:
        ConfigError: a flag, a file, a key or a value that cannot be used.
    """
    from absl import flags
    from ml_collections import config_flags

    values = flags.FlagValues()
    arguments = ["--rerun=all" if argument in ("--rerun", "-rerun") else argument for argument in arguments]
    arguments = _last_of_each_key(arguments)
    arguments, file, argument = _find_config(arguments)
    emptied: dict[str, Any] = {}
    if any(argument.endswith("=None") for argument in arguments):
        from jaxticket.lab.keys import without_none

        arguments, emptied = without_none(arguments)
    if any("=range(" in argument or argument.startswith("--config.seeds=") for argument in arguments):
        from jaxticket.lab.keys import plain_values

        arguments, notes = plain_values(arguments)
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
    program = ["jaxticket", *arguments]  # absl expects the name of the program first
    config_flags.DEFINE_config_file("config", lock_config=True, flag_values=values, sys_argv=program)
    flags.DEFINE_string("workdir", "runs", "", flag_values=values)
    for name in ("rerun", *strings):
        flags.DEFINE_string(name, None, "", flag_values=values)
    for name in lists:
        flags.DEFINE_multi_string(name, [], "", flag_values=values)
    for name in ("dry_run", *switches):
        flags.DEFINE_bool(name, False, "", flag_values=values)
    try:
        rest = values(program)
        getattr(values.config, "experiment", None)  # a file that could not read another one raises only now
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # whatever a config file raises
        from jaxticket.lab.config_file import config_file_error
        from jaxticket.lab.keys import unknown_key_in, wrong_flag_in

        key = isinstance(error, AttributeError | KeyError | TypeError)
        wrong = unknown_key_in(arguments) if key else wrong_flag_in(arguments, str(error))
        raise ConfigError(wrong or config_file_error(file, argument, error) or one_line(error)) from error
    if len(rest) > 1:
        flag = f"--config.{rest[1]}" if "=" in rest[1] else "--config.train.epochs=3"
        raise ConfigError(f"argument {rest[1]!r}: must be a flag, such as {flag}")
    if emptied:
        values.config.update_from_flattened_dict(emptied)
    return values


def _last_of_each_key(arguments: Sequence[str]) -> list[str]:
    """Without the overrides of keys that are given again: the flags of tuples would join their values."""
    keys = [argument.lstrip("-").partition("=")[0] for argument in arguments]
    last = {key: place for place, key in enumerate(keys)}
    return [
        argument
        for place, (argument, key) in enumerate(zip(arguments, keys, strict=True))
        if last[key] == place or not ("=" in argument and key.startswith("config."))
    ]


def _find_config(arguments: Sequence[str]) -> tuple[list[str], str, str]:
    """The arguments with the path of the config file, that path, and what follows the colon."""
    from jaxticket.lab.recipe_files import find_config_file

    for number, (argument, following) in enumerate(zip(arguments, [*arguments[1:], ""], strict=True)):
        flag, equals, value = argument.partition("=")
        if flag in ("--config", "-config"):
            name, colon, told = (value if equals else following).partition(":")
            file = find_config_file(name)
            rest = arguments[number + (1 if equals else 2) :]
            return [*arguments[:number], f"--config={file}{colon}{told}", *rest], file, told
    bare = next((argument for argument in arguments if not argument.startswith("-")), "quickstart")
    raise ConfigError(f"--config: is missing; give a config, such as --config={bare}; `jaxticket list` shows them")


if __name__ == "__main__":
    signals.own()
    sys.exit(main())
