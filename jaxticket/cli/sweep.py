"""`jaxticket sweep`: an experiment with several values of some keys."""

from collections.abc import Sequence

from jaxticket.sweep import main


def run(arguments: Sequence[str]) -> int:
    """Runs the experiments of a sweep, one after the other."""
    return main(arguments, "jaxticket sweep")
