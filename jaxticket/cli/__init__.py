"""The `jaxticket` command: one module for each subcommand, imported only when it is asked for.

A subcommand has `add_arguments(parser)` and `run(arguments)`, which gets what was parsed and returns the exit code. One
whose flags are those of a config has only `run`, which gets the arguments as they were given.
"""

import importlib
import sys
from collections.abc import Sequence

import jaxticket
from jaxticket.core.command_line import CommandParser
from jaxticket.core.errors import ConfigError

COMMANDS = {
    "run": "run an experiment, or go on with it",
    "plan": "say what a run would do, and do nothing",
    "sweep": "run an experiment with several values of some keys",
    "list": "experiments, networks, data sets and criteria that there are",
    "keys": "every key of an experiment: type, default, meaning",
    "config": "the whole configuration of a run, as a config file",
    "report": "one page that compares runs; figures as files",
    "ticket": "what a ticket holds; how the masks of two differ",
    "export": "the trained network of a ticket, for a server",
    "stages": "finished stages: list, explain, take over, clear away",
    "data": "data sets: which are here; prepare one",
    "completion": "completion of these commands for bash or zsh",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: without the program's name; None takes them from the process.

    Returns:
        The exit code: 0 done, 1 training failed, 2 bad input, 75 stopped by a signal.
    """
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    if name in ("", "--help", "-h", "help"):
        print(_usage())
        return 0 if name else 2
    if name == "--version":
        print(f"jaxticket {jaxticket.__version__}")
        return 0
    if name not in COMMANDS:
        from jaxticket.core.options import must_be_one_of

        print(f"error: command {name!r}: {must_be_one_of(name, [*COMMANDS])}", file=sys.stderr)
        return ConfigError.exit_code
    return run_command(name, rest)


def run_command(name: str, arguments: Sequence[str] | None = None, prog: str = "") -> int:
    """Runs one subcommand.

    Args:
        name: one of `COMMANDS`.
        arguments: that follow it; None takes them from the process.
        prog: what the program is called in its help, if not `jaxticket NAME`.

    Returns:
        The exit code.
    """
    command = importlib.import_module(f"{__name__}.{name}")
    if not hasattr(command, "add_arguments"):
        return command.run(arguments)
    parser = CommandParser(prog=prog or f"jaxticket {name}", description=command.__doc__)
    command.add_arguments(parser)
    return parser.run(arguments, command.run)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {says}" for name, says in COMMANDS.items()]
    return "\n".join(
        [
            "usage: jaxticket COMMAND ...",
            "",
            "Finds, trains, judges and runs sparse neural networks.",
            "",
            *lines,
            "",
            "jaxticket COMMAND --help says more; `jaxticket run --config=quickstart` finds a ticket in two minutes.",
        ]
    )
