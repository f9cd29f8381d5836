"""The command line of running sparse: `python -m jaxticket.kernels list` and `python -m jaxticket.kernels tune`."""

import argparse
import runpy
import sys
from collections.abc import Sequence
from typing import NoReturn

from jaxticket import signals
from jaxticket.core.errors import ConfigError, JaxticketError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see python -m jaxticket.kernels --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: without the program's name; None takes them from the process.

    Returns:
        The exit code: 0, or 2 for bad input.
    """
    try:
        options = _parser().parse_args(arguments)
        for file in options.files:
            runpy.run_path(file)
        if options.command == "list":
            _list()
        else:
            _tune(options)
    except (JaxticketError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, JaxticketError) else 2
    return 0


def _list() -> None:
    from jaxticket.kernels import BACKENDS, known_timings

    for backend in BACKENDS:
        known = ", ".join(known_timings(backend.name).rates) or "none, call tune"
        kinds = "matmuls" if backend.conv is None else "matmuls and convolutions"
        print(f"{backend.name}: {kinds}, on {backend.device or 'every device'}, timings here: {known}")


def _tune(options: argparse.Namespace) -> None:
    from jaxticket.kernels import tune

    timings = tune(options.folder, dtypes=options.dtypes.split(","), rounds=options.rounds, backend=options.backend)
    dense = 0.0
    for point in timings.points:
        if point["density"] is None:  # the dense layer comes first
            dense = point["seconds"]
            print(f"{point['x']} @ {point['kernel']} in {point['dtype']}: dense {1e3 * dense:.2f} ms")
        else:
            print(f"  density {point['density']:.2f}: {dense / point['seconds']:.2f} times as fast as dense")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m jaxticket.kernels", description="Lists and times what runs sparse layers.")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="which backends there are")
    tuning = commands.add_parser("tune", help="measures dense and sparse layers on this machine, a minute per dtype")
    for command in (listing, tuning):
        command.add_argument("files", nargs="*", metavar="FILE.py", help="registers backends of your own")
    tuning.add_argument("--backend", help="which one runs sparse layers (default: the best)")
    tuning.add_argument("--folder", help="where timings are written; $JAXTICKET_TIMINGS names it to later processes")
    tuning.add_argument("--dtypes", default="float32", help="separated by commas (default: float32)")
    tuning.add_argument("--rounds", type=int, default=5, help="timed calls of each (default: 5)")
    return parser


if __name__ == "__main__":
    signals.own()
    sys.exit(main())
