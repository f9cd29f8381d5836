"""Ctrl-C and SIGTERM from the first instruction of a command on, wherever it is.

A handler that raises an exception is no good: it prints a traceback while modules load, waits for compilations to end,
and is lost where JAX's callbacks of the garbage collection swallow it. So a thread waits for the signals, and ends the
process in one line with the exit code 75, unless someone listens who has something to save.

Only standard modules are loaded here, and few.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

EXIT_REQUEUE = 75  # EX_TEMPFAIL: the same command, started again, goes on from here.
_SECONDS_TO_FLUSH = 1.0
_SHOW_CURSOR = "\x1b[?25h"

_owned = False
_listener: Callable[[int], None] | None = None


def own() -> None:
    """From here on Ctrl-C and SIGTERM are this module's, in this process and not in its children; for commands."""
    global _owned
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # without a handler there is nothing to wait for
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()
    os.register_at_fork(after_in_child=_disown)
    _owned = True


def ignore_further_stops() -> None:
    """For a process that ends because it was told to: what is sent once more must not change its exit code.

    Python puts its handlers back to the default while it ends, and a launcher that has seen one process of a run end
    terminates the others.
    """
    if _owned:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def owned() -> bool:
    """Whether `own` was called in this process."""
    return _owned


@contextlib.contextmanager
def heard_by(listener: Callable[[int], None]) -> Iterator[None]:
    """Within this context, signals go to `listener`, in another thread, instead of ending the process."""
    global _listener
    _listener = listener
    try:
        yield
    finally:
        _listener = None


def end(text: str) -> NoReturn:
    """Says `text` in a line, and ends this process with 75, whatever its threads are doing."""
    # What is printed may be waiting for a reader that does not read; that must not hold up the end.
    saying = threading.Thread(target=_say, args=(text,), daemon=True)
    saying.start()
    saying.join(_SECONDS_TO_FLUSH)
    os._exit(EXIT_REQUEUE)


def _watch(reader: int) -> None:
    while True:
        for number in os.read(reader, 1):
            if _listener is None:
                end("stopped; the same command continues")
            _listener(number)


def _disown() -> None:
    global _owned
    if _owned:
        _owned = False
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        if sys.stdout.isatty():
            text = _SHOW_CURSOR + text  # a bar of progress may have hidden it
        print(text, flush=True)
