"""SIGTERM and Ctrl-C as a request to save and stop, not as sudden death.

In a run of several processes a signal to one of them stops all, at the same step: JAX's preemption service catches
SIGTERM, and carries it to the others.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType

from jaxticket import signals
from jaxticket.parallel import processes

# How long a command whose work has nothing to save may take to come to a place where it stops by itself.
_PATIENCE_SECONDS = 2.0


class InterruptedRun(Exception):  # noqa: N818 - it reports a wish, not an error
    """Raised between two steps, after the checkpoint was saved."""


class Interrupts:
    """Within this context SIGTERM and SIGINT set `requested`; a second SIGINT stops at once.

    In a command (`signals.own`) a request that finds nothing to save ends the process if it is not answered soon, and a
    second SIGINT ends it. Elsewhere handlers are set, and a second SIGINT is a `KeyboardInterrupt`.

    Attributes:
        holding: whether there is something to save, and `requested` is asked often.

    Example:
        >>> from jaxticket import training
        >>> with training.Interrupts() as interrupts:
        ...     asked = interrupts.requested
        >>> asked
        False
    """

    def __init__(self) -> None:
        self._asked = self._noted = self.holding = False
        self._left = threading.Event()
        self._context = contextlib.ExitStack()
        self._say: Callable[[], None] | None = None

    @property
    def requested(self) -> bool:
        """Whether to stop; of several processes all must ask at the same points, and get the same answers."""
        if processes.is_multiprocess() and not self._asked:
            self._asked = processes.stop_is_due()
        return self._asked

    @requested.setter
    def requested(self, asked: bool) -> None:
        self._asked = asked

    def __enter__(self) -> "Interrupts":
        self._left.clear()
        if signals.owned():
            self._context.enter_context(signals.heard_by(self._hear))
        # Signal handlers belong to the main thread; elsewhere (a notebook's worker) signals keep their meaning.
        elif threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT,) if processes.is_multiprocess() else (signal.SIGTERM, signal.SIGINT):
                self._context.callback(signal.signal, number, signal.signal(number, self._handle))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._context.close()

    @contextlib.contextmanager
    def before_end(self, say: Callable[[], None]) -> Iterator[None]:
        """Within this context `say` is called, in another thread, before a request that is not answered ends all."""
        self._say = say
        try:
            yield
        finally:
            self._say = None

    def check(self) -> None:
        """Raises `InterruptedRun` when a stop was asked for; for places with nothing to save."""
        if self.requested:
            raise InterruptedRun

    def _hear(self, number: int) -> None:
        if not self._note(number):
            signals.end("stopped at once; the same command continues from the last checkpoint")
        threading.Thread(target=self._insist, daemon=True).start()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._note(number):
            raise KeyboardInterrupt

    def _note(self, number: int) -> bool:
        """Notes the wish to stop; False where it was noted before, and is now a demand."""
        if self._noted and number == signal.SIGINT:
            return False
        self._noted = True
        if processes.is_multiprocess():
            os.kill(os.getpid(), signal.SIGTERM)  # for the preemption service
        else:
            self._asked = True
        return True

    def _insist(self) -> None:
        while not self._left.wait(_PATIENCE_SECONDS):
            if not self.holding and not processes.is_multiprocess():
                if self._say is not None:
                    with contextlib.suppress(Exception):  # the thread that works may be changing what is said
                        self._say()
                signals.end("stopped, everything up to here is saved; the same command continues")
