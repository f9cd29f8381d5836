"""The report of an experiment that goes on, written again as networks are trained."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from jaxticket.core.errors import one_line
from jaxticket.report.write import write_report

# The share of the time of a run that its reports may take, and the seconds that the first is expected to.
_SHARE = 0.03
_FIRST_SECONDS = 1.0


class LiveReport:
    """Writes the report of a run on the way, as often as a small share of the time allows, and once where it ends.

    Args:
        note: called with a line where it is written for the last time, or cannot be written.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._lock = threading.Lock()
        self._next = time.monotonic() + _FIRST_SECONDS / _SHARE

    def __call__(self, folder: Path, stopped: bool) -> None:
        """A network is recorded in the experiment's folder, or, `stopped`, the run ends before it is complete."""
        if not stopped and time.monotonic() < self._next:
            return
        with self._lock:
            begun = time.monotonic()
            try:
                page = write_report(folder)
            except Exception as error:  # a page must not cost the run; at its end the same error is raised
                self._note(f"no report on the way ({type(error).__name__}: {one_line(error)})")
                self._next = float("inf")
                return
            ended = time.monotonic()
            self._next = ended + (ended - begun) / _SHARE
            if stopped:
                self._note(f"report   {page} (not finished)")
