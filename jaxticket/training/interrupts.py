"""SIGTERM and Ctrl-C as a request to save and stop, not as sudden death.

In a run of several processes a signal to one of them stops all, at the same step: JAX's preemption service catches
SIGTERM, and carries it to the others.
"""

import os
import signal
import threading
from types import FrameType, TracebackType

from jaxticket.parallel import processes

EXIT_REQUEUE = 75  # EX_TEMPFAIL: the same command, started again, goes on from here.


class InterruptedRun(Exception):  # noqa: N818 - it reports a wish, not an error
    """Raised between two steps, after the checkpoint was saved."""


class Interrupts:
    """Within this context SIGTERM and SIGINT set `requested`; a second SIGINT stops at once."""

    def __init__(self) -> None:
        self._asked = self._noted = False
        self._before: dict[int, object] = {}

    @property
    def requested(self) -> bool:
        """Whether to stop; of several processes all must ask at the same points, and get the same answers."""
        if processes.several() and not self._asked:
            self._asked = processes.stop_is_due()
        return self._asked

    @requested.setter
    def requested(self, asked: bool) -> None:
        self._asked = asked

    def __enter__(self) -> "Interrupts":
        caught = (signal.SIGINT,) if processes.several() else (signal.SIGTERM, signal.SIGINT)
        # Signal handlers belong to the main thread; elsewhere (a notebook's worker) signals keep their meaning.
        if threading.current_thread() is threading.main_thread():
            for number in caught:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._noted and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._noted = True
        if processes.several():
            os.kill(os.getpid(), signal.SIGTERM)  # for the preemption service
        else:
            self._asked = True

    def check(self) -> None:
        """Raises `InterruptedRun` when a stop was asked for; for places with nothing to save."""
        if self.requested:
            raise InterruptedRun
