"""The command line of running sparse: `python -m jaxticket.kernels list` and `python -m jaxticket.kernels tune`."""

import argparse
import runpy
import sys
from collections.abc import Sequence

from jaxticket import signals
from jaxticket.core.command_line import CommandParser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: without the program's name; None takes them from the process.

    Returns:
        The exit code: 0, or 2 for bad input.
    """
    parser = CommandParser(prog="python -m jaxticket.kernels", description="Lists and times what runs sparse layers.")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="which backends there are")
    tuning = commands.add_parser("tune", help="measures dense and sparse layers on this machine, a minute per dtype")
    for command, act in ((listing, _list), (tuning, _tune)):
        command.set_defaults(act=act)
        command.add_argument("files", nargs="*", metavar="FILE.py", help="registers backends of your own")
    tuning.add_argument("--backend", help="which one runs sparse layers (default: the best)")
    tuning.add_argument("--folder", help="where timings are written; $JAXTICKET_TIMINGS names it to later processes")
    tuning.add_argument("--dtypes", default="float32", help="separated by commas (default: float32)")
    tuning.add_argument("--rounds", type=int, default=5, help="timed calls of each (default: 5)")
    return parser.run(arguments, _run)


def _run(options: argparse.Namespace) -> int:
    for file in options.files:
        runpy.run_path(file)
    options.act(options)
    return 0


def _list(options: argparse.Namespace) -> None:
    del options
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


if __name__ == "__main__":
    signals.own()
    sys.exit(main())
