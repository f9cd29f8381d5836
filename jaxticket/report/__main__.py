"""The command line of comparisons: `python -m jaxticket.report RUN... [--out=FILE.html]`."""

import argparse
import sys
from collections.abc import Sequence

from jaxticket import signals
from jaxticket.core.command_line import CommandParser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: without the program's name; None takes them from the process.

    Returns:
        The exit code: 0 done, 2 bad input.
    """
    parser = CommandParser(
        prog="python -m jaxticket.report",
        description="One page that compares experiments: accuracy against sparsity, tables, and what sets them apart.",
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="a --workdir of experiments, or an experiment's own folder"
    )
    parser.add_argument("--out", metavar="FILE.html", help="the page (default: comparison.html in the first folder)")
    return parser.run(arguments, _compare)


def _compare(options: argparse.Namespace) -> None:
    from jaxticket.report.comparison_page import write_comparison

    page = write_comparison(options.runs, options.out, note=lambda line: print(f"note: {line}"))
    print(f"report   {page}")
    print(f"table    {page.with_suffix('.csv')}")


if __name__ == "__main__":
    signals.own()
    sys.exit(main())
