"""The command line of the data sets: `python -m jaxticket.data list` and `python -m jaxticket.data prepare NAME`."""

import sys
from collections.abc import Sequence

from jaxticket import signals


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: without the program's name; None takes them from the process.

    Returns:
        The exit code: 0, or 2 for bad input.
    """
    from jaxticket.data import command

    return command.run(arguments)


if __name__ == "__main__":
    signals.own()
    sys.exit(main())
