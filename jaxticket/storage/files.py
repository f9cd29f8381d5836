"""Files written whole or not at all.

A file is written under a temporary name next to its final one, flushed to the disk and renamed, so a reader sees the
old file or the new one and never a part.
"""

import contextlib
import errno
import hashlib
import itertools
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from jaxticket.core.errors import TicketError
from jaxticket.storage import faults

PathLike = str | os.PathLike[str]
Found = TypeVar("Found")

# Names of the temporary files that this process is writing.
_in_flight: set[str] = set()
_counter = itertools.count()


def write_bytes(path: PathLike, data: bytes) -> None:
    """Writes a file atomically; folders that are missing are made.

    Raises:
        TicketError: the operating system refuses.
    """
    write_files({path: data})


def write_files(files: Mapping[PathLike, bytes]) -> None:
    """Writes files, each atomically, and all of them to the disk before the first takes its final name.

    They take their names in the order given. Someone who needs all or none of them has to tell by a checksum, for a
    crash can fall between two renames.

    Raises:
        TicketError: the operating system refuses.
    """
    pending: dict[Path, Path] = {}
    try:
        for final, data in files.items():
            final = Path(final)
            with naming_errors("write", final):
                faults.point(f"{final.name}/begin")
                final.parent.mkdir(parents=True, exist_ok=True)
                pending[final] = _temporary(final)
                _in_flight.add(pending[final].name)
                with pending[final].open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
        for final, temporary in pending.items():
            with naming_errors("write", final):
                faults.point(f"{final.name}/written")
                temporary.replace(final)
                _sync_folder(final.parent)
                faults.point(f"{final.name}/named")
    finally:
        for temporary in pending.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            _in_flight.discard(temporary.name)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name next to `path` for a file too large for memory; at the end it takes the name `path`.

    After an error nothing is left.

    Raises:
        OSError: the operating system refuses.
    """
    temporary = _temporary(path)
    _in_flight.add(temporary.name)
    try:
        yield temporary
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
        _in_flight.discard(temporary.name)


def read_bytes(path: PathLike) -> bytes:
    """The content of a file.

    Raises:
        TicketError: there is no such file, or the operating system refuses.
    """
    with naming_errors("read", Path(path)):
        return unless_stale(Path(path).read_bytes)


def checksum(path: PathLike) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits.

    Raises:
        TicketError: there is no such file, or the operating system refuses.
    """

    def digest() -> str:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with naming_errors("read", Path(path)):
        return unless_stale(digest)


def unless_stale(read: Callable[[], Found]) -> Found:
    """What `read` returns; it is called again where NFS says that the file was replaced while it was being read."""
    for pause in (0.05, 0.1, 0.2, 0.4):
        try:
            return read()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
        time.sleep(pause)
    return read()


def _temporary(final: Path) -> Path:
    """A new temporary name next to `final`; those that killed processes of this machine left there are removed."""
    prefix = f".{final.name}.{socket.gethostname()}-"
    for leftover in final.parent.iterdir():
        match = re.fullmatch(re.escape(prefix) + r"(\d+)-\d+\.tmp", leftover.name)
        if match and leftover.name not in _in_flight and not _is_other_process(int(match[1])):
            leftover.unlink(missing_ok=True)
    return final.parent / f"{prefix}{os.getpid()}-{next(_counter)}.tmp"


def _is_other_process(process: int) -> bool:
    if process == os.getpid():
        return False
    if os.name != "posix":
        return True  # there, signal 0 would end the process
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut; only POSIX can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def naming_errors(verb: str, path: Path) -> Iterator[None]:
    """Turns an error of the operating system into one line; `verb` is what was being done to `path`."""
    try:
        yield
    except FileNotFoundError as error:
        raise TicketError(f"cannot {verb} {path}: there is no such file; check the path") from error
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise TicketError(
            f"cannot {verb} {path}: {reason}; check the path, its permissions and the free space"
        ) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
