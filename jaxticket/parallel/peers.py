"""The other processes of a run: who they are, and how this one ends when one of them, or itself, has failed."""

import atexit
import contextlib
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import jax
import numpy as np

from jaxticket.core.errors import JaxticketError, one_line
from jaxticket.parallel.processes import is_multiprocess, is_writer, scratch

# How long an error, which says more, may take to follow the end of a process of this machine; and a process, whose
# connections close first, to end after them.
_SECONDS_TO_FAIL = 3.0
# Parts of what JAX, Gloo, NCCL and the coordination service say when another process can no longer be reached.
_SIGNS_OF_LOSS = ("Gloo", "NCCL", "oordination service", "losed by peer", "reset by peer", "ocket closed", "arrier ")
_NAME_BYTES, _HOST_LETTERS = 160, 60
_ELSEWHERE = "elsewhere"
_REMEDY = "the same command continues from the last checkpoint"

_peers: list[str] = []


def meet() -> None:
    """Tells all processes who they are; from here on this one ends when another of its machine is lost."""
    _peers.extend(_exchanged(f"{socket.gethostname()[:_HOST_LETTERS]} {os.getpid()} {_machine()}"))
    ending = threading.Event()
    atexit.register(ending.set)  # after which it is right that processes end
    threading.Thread(target=_watch, args=(ending,), daemon=True).start()


@contextlib.contextmanager
def ending_together(expected: type[Exception]) -> Iterator[None]:
    """Within this context an error ends this process at once, if it is one of several.

    An ordinary end would wait for processes that do not come. The others notice: within an instant where they wait for
    something from this one, else when they have not heard of it for half a minute.

    Args:
        expected: what every process raises at the same point, and what is let through.
    """
    try:
        yield
    except expected:
        raise
    except BaseException as error:
        if not is_multiprocess() or isinstance(error, SystemExit):
            raise
        _leave(error)


def _leave(error: BaseException) -> None:
    """Says why, and ends this process without waiting for anything."""
    origin = error
    while origin.__cause__ is not None:
        origin = origin.__cause__
    if any(sign in str(origin) for sign in _SIGNS_OF_LOSS):
        who = _lost_soon() or f"another of the {len(_peers)} processes"
        _end(f"{who} is gone ({one_line(origin)[:200]}); {_REMEDY}", 1)
    if isinstance(error, JaxticketError):
        _end(str(error), error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        _end(f"stopped at once; {_REMEDY}", 1)
    traceback.print_exception(error)
    _end(f"has failed; {_REMEDY}", 1)


def _end(text: str, code: int) -> NoReturn:
    print(f"error: process {jax.process_index()}: {text}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    if is_writer():
        time.sleep(1.0)  # the others die with process 0; let them speak first
    else:
        scratch().cleanup()
    os._exit(code)


def _watch(ending: threading.Event) -> None:
    """Ends this process when another of this machine has ended, should this one be waiting for it in vain.

    What waits for a process of another machine ends with the heartbeats.
    """
    while not ending.wait(1.0):
        if _lost():
            if not ending.wait(_SECONDS_TO_FAIL):
                _end(f"{_lost()} is gone; {_REMEDY}", 1)
            return


def _lost() -> str:
    """The processes of this machine that have ended, in words."""
    gone = [number for number in range(len(_peers)) if _is_gone(number)]
    return ", ".join("process {} ({}, process id {})".format(number, *_peers[number].split()[:2]) for number in gone)


def _lost_soon() -> str:
    """`_lost`, waited for: a killed process gives its memory back between closing its connections and ending."""
    until = time.monotonic() + _SECONDS_TO_FAIL
    while not (lost := _lost()) and time.monotonic() < until:
        time.sleep(0.1)
    return lost


def _is_gone(number: int) -> bool:
    """Whether a process of this machine has ended; nothing is known of those of other machines."""
    _, process, machine = _peers[number].split()
    if machine == _ELSEWHERE or machine != _machine():
        return False
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return True
    return state in "ZX"


def _machine() -> str:
    """Where process ids mean the same: a running machine, and a container on it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux
        return _ELSEWHERE


def _exchanged(text: str) -> list[str]:
    """A short text from every process, by its number."""
    from jax.experimental import multihost_utils

    own = np.zeros(_NAME_BYTES, np.uint8)
    encoded = text.encode()
    own[: len(encoded)] = np.frombuffer(encoded, np.uint8)
    return [row.tobytes().rstrip(b"\0").decode() for row in np.asarray(multihost_utils.process_allgather(own))]
