"""`jaxticket run`: an experiment."""

from collections.abc import Sequence

from jaxticket.main import main


def run(arguments: Sequence[str]) -> int:
    """Runs the experiment of a config, or goes on with it."""
    return main(arguments, "jaxticket run")
