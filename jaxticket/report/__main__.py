"""`python -m jaxticket.report` is `jaxticket report`."""

import sys
from collections.abc import Sequence

from jaxticket import signals
from jaxticket.cli import run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    return run_command("report", arguments, "python -m jaxticket.report")


if __name__ == "__main__":
    signals.own()
    sys.exit(main())
