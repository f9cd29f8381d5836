"""`python -m jaxticket.data` is `jaxticket data`."""

import sys
from collections.abc import Sequence

from jaxticket import signals
from jaxticket.cli import run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    return run_command("data", arguments, "python -m jaxticket.data")


if __name__ == "__main__":
    signals.own()
    sys.exit(main())
