"""What the smaller commands share: one line for a mistake, and exit codes."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from jaxticket.core.errors import ConfigError, JaxticketError


class CommandParser(argparse.ArgumentParser):
    """A parser of arguments that says what is wrong with them in one line, as everything else does."""

    def error(self, message: str) -> NoReturn:
        """Raises the message as a `ConfigError`."""
        raise ConfigError(f"{message}; see {self.prog} --help")

    def run(self, arguments: Sequence[str] | None, act: Callable[[argparse.Namespace], None]) -> int:
        """Calls `act` with the parsed arguments; what the user can mend becomes one line.

        Args:
            arguments: without the program's name; None takes them from the process.
            act: what the command does.

        Returns:
            The exit code: 0, or that of the error, 2 for bad input.
        """
        try:
            act(self.parse_args(arguments))
        except SystemExit:  # after --help
            return 0
        except (JaxticketError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code if isinstance(error, JaxticketError) else ConfigError.exit_code
        return 0
