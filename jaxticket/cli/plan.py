"""`jaxticket plan`: what a run would do."""

from collections.abc import Sequence

from jaxticket.main import main


def run(arguments: Sequence[str]) -> int:
    """Prints the plan of an experiment."""
    return main(["--dry_run", *arguments] if arguments else [], "jaxticket plan")
