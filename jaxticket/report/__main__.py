"""The command line of comparisons: `python -m jaxticket.report RUN... [--out=FILE.html]`."""

import argparse
import sys
from collections.abc import Sequence

from jaxticket import signals
from jaxticket.core.errors import JaxticketError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: without the program's name; None takes them from the process.

    Returns:
        The exit code: 0 done, 2 bad input.
    """
    parser = argparse.ArgumentParser(
        prog="python -m jaxticket.report",
        description="One page that compares experiments: accuracy against sparsity, tables, and what sets them apart.",
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="a --workdir of experiments, or an experiment's own folder"
    )
    parser.add_argument("--out", metavar="FILE.html", help="the page (default: comparison.html in the first folder)")
    try:
        values = parser.parse_args(arguments)
    except SystemExit as stopped:
        return int(stopped.code or 0)
    from jaxticket.report.comparison_page import write_comparison

    try:
        page = write_comparison(values.runs, values.out, note=lambda line: print(f"note: {line}"))
    except JaxticketError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"report   {page}")
    print(f"table    {page.with_suffix('.csv')}")
    return 0


if __name__ == "__main__":
    signals.own()
    sys.exit(main())
