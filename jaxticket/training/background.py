"""What threads in the background have to say while a run is on: one line at the end, never a traceback in between.

Checkpoints are written in the background. Where that fails, on a full disk for one, whoever waits for it gets the error
and says it in one line; the threads themselves would print a traceback each, some of them from C++ through
`sys.excepthook`, and log more.
"""

import contextlib
import gc
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from jaxticket.core.errors import JaxticketError, one_line

_LOGGERS = ("absl", "asyncio")
_WAIT = 0.3
_LONGEST_WAIT = 5.0


class _Errors:
    """Takes what is raised in threads in place of the interpreter's hooks, and errors that are logged by Orbax."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._thread_hook, self._hook = threading.excepthook, sys.excepthook

    def in_thread(self, raised: threading.ExceptHookArgs) -> None:
        if raised.exc_value is not None and raised.exc_type is not SystemExit:
            self.lines.append(one_line(raised.exc_value))

    def anywhere(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if threading.current_thread() is threading.main_thread():
            self._hook(kind, error, trace)
        else:
            self.lines.append(one_line(error))

    def logged(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR:
            return True
        self.lines.append(record.getMessage().partition("\n")[0])
        return False

    def let_threads_end(self) -> None:
        """Waits until threads that an error has left without what they worked for have said so."""
        gc.collect()  # asyncio speaks of a task that failed when the task goes
        begun, said = time.monotonic(), -1
        while len(self.lines) != said and time.monotonic() - begun < _LONGEST_WAIT:
            said = len(self.lines)
            time.sleep(_WAIT)

    def restore(self) -> None:
        threading.excepthook, sys.excepthook = self._thread_hook, self._hook


@contextlib.contextmanager
def quiet_background(note: Callable[[str], None]) -> Iterator[None]:
    """In this context errors in threads print nothing.

    Args:
        note: called at an end without an error, with one line on what a thread failed with that was not reported.
    """
    errors, loggers = _Errors(), [logging.getLogger(name) for name in _LOGGERS]
    threading.excepthook, sys.excepthook = errors.in_thread, errors.anywhere
    for logger in loggers:
        logger.addFilter(errors.logged)
    try:
        yield
        for line in dict.fromkeys(errors.lines):
            note(f"a thread in the background failed: {line[:300]}")
    except JaxticketError:
        errors.let_threads_end()
        raise
    finally:
        for logger in loggers:
            logger.removeFilter(errors.logged)
        errors.restore()
