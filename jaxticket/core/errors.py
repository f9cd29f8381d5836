"""The errors a user can cause, each one line that names what was found, what is allowed and the remedy."""


class JaxticketError(Exception):
    """Base of every error that is the caller's to mend; the command line prints it and exits with `exit_code`."""

    exit_code = 2


class ConfigError(JaxticketError):
    """A configuration key or value that cannot be used."""


class MaskError(JaxticketError, ValueError):
    """Masks, scores or parameters that do not fit together."""


class DataError(JaxticketError):
    """A data set that is missing, damaged or not what its name says."""


class TicketError(JaxticketError):
    """A ticket, or another stored tree of arrays, that is missing, damaged or foreign."""


class TrainingError(JaxticketError):
    """Training that cannot go on, such as a loss that is no longer finite."""

    exit_code = 1


def one_line(error: BaseException) -> str:
    """The message of any error, its lines joined; its type where it has none."""
    first = error.args[0] if error.args and isinstance(error.args[0], str) else error
    lines = [line.strip() for line in str(first).splitlines()]
    text = " ".join(line for line in lines if line)
    return text or type(error).__name__
