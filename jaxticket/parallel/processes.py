"""One run in many processes: what they agree on, how they wait for each other, and when they stop.

Every process runs the same program on the same work folder. What depends on a disk or a clock is decided by process 0,
the only one that writes, and sent to the others by `broadcast`. In a single process all of this does nothing.
"""

import contextlib
import functools
import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxticket.core.errors import ConfigError

# How long a folder of a network file system may hide what another machine has written.
_SECONDS_UNTIL_SEEN = 60.0
_SHORTEST_MESSAGE = 4096

_calls = itertools.count(1)


def is_multiprocess() -> bool:
    """Whether this run has more than one process."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_writer() -> bool:
    """Whether this process is the one that writes and speaks: process 0."""
    return not is_multiprocess() or jax.process_index() == 0


def index_and_count() -> tuple[int, int]:
    """The number of this process, from 0, and how many there are."""
    return (jax.process_index(), jax.process_count()) if is_multiprocess() else (0, 1)


@functools.cache
def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for what nobody reads, removed when this process ends."""
    return tempfile.TemporaryDirectory(prefix="jaxticket-", ignore_cleanup_errors=True)


def wait_for_all(name: str) -> None:
    """Waits until all processes have come here."""
    if is_multiprocess():
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def broadcast(value: Any) -> Any:
    """The value of process 0, JSON-ready, in every process; returns when all have come here.

    In a single process the value itself; in several it has been JSON on the way, in process 0 too.
    """
    if not is_multiprocess():
        return value
    from jax.experimental import multihost_utils

    text = json.dumps(value).encode() if is_writer() else b""
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    # Few lengths, for each of them is compiled.
    sent = np.zeros(max(_SHORTEST_MESSAGE, 1 << (size - 1).bit_length()), np.uint8)
    sent[: len(text)] = np.frombuffer(text, np.uint8)
    return json.loads(np.asarray(multihost_utils.broadcast_one_to_all(sent))[:size].tobytes())


def wait_until_seen(path: Path) -> None:
    """Waits until a file that process 0 has written is seen here, which on a network file system may take a while.

    Raises:
        ConfigError: it is not; probably the processes have different work folders.
    """
    begun = time.monotonic()
    while not is_writer() and not path.exists():
        if time.monotonic() - begun > _SECONDS_UNTIL_SEEN:
            raise ConfigError(
                f"{path}: was written by process 0 and is not there for process {jax.process_index()}; "
                "--workdir must be one folder that all processes share"
            )
        time.sleep(0.1)


def stop_is_due() -> bool:
    """Whether a signal to any process asks all of them to stop here.

    Must be called by all processes at the same points of the program; true at one and the same call of each.
    """
    from jax.experimental import multihost_utils

    return multihost_utils.reached_preemption_sync_point(next(_calls))


@contextlib.contextmanager
def silence_non_writers() -> Iterator[None]:
    """Within this context all processes but the first print nothing, except errors."""
    if is_writer():
        yield
        return
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
