"""The `jaxticket` command, also as `python -m jaxticket`."""

import sys

from jaxticket import signals


def main() -> int:
    """Runs the command of this process; returns the exit code."""
    signals.own()  # before anything else is imported
    from jaxticket import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
