"""What the smaller commands share: one line for a mistake, and exit codes."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from jaxticket.core.errors import ConfigError, JaxticketError


class CommandParser(argparse.ArgumentParser):
    """A parser of arguments that says what is wrong with them in one line, as everything else does."""

    def error(self, message: str) -> NoReturn:
        """Raises the message as a `ConfigError`."""
        raise ConfigError(f"{message}; see {self.prog} --help")

    def run(self, arguments: Sequence[str] | None, act: Callable[[argparse.Namespace], int]) -> int:
        """Calls `act` with the parsed arguments; what the user can mend becomes one line.

        Args:
            arguments: without the program's name; None takes them from the process.
            act: what the command does; returns the exit code.

        Returns:
            The exit code: that of `act`, or of the error, 2 for bad input.
        """
        try:
            return act(self.parse_args(arguments))
        except SystemExit:  # after --help
            return 0
        except BrokenPipeError:
            stop_writing()
            return 0
        except (JaxticketError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code if isinstance(error, JaxticketError) else ConfigError.exit_code


def stop_writing() -> None:
    """Nothing reads the output any more, and what Python flushes when it ends has no reader either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
