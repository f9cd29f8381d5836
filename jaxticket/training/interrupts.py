"""SIGTERM and Ctrl-C as a request to save and stop, not as sudden death."""

import signal
import threading
from types import FrameType, TracebackType

EXIT_REQUEUE = 75  # EX_TEMPFAIL: the same command, started again, goes on from here.


class InterruptedRun(Exception):  # noqa: N818 - it reports a wish, not an error
    """Raised between two steps, after the checkpoint was saved."""


class Interrupts:
    """Within this context SIGTERM and SIGINT set `requested`; a second SIGINT stops at once."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interrupts":
        # Signal handlers belong to the main thread; elsewhere (a notebook's worker) signals keep their meaning.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True

    def check(self) -> None:
        """Raises `InterruptedRun` when a stop was asked for; for places with nothing to save."""
        if self.requested:
            raise InterruptedRun
