"""Advisory locks on folders that several runs share; the kernel takes them away from a process that dies.

A lock is a file `.lock` in the folder, locked with `flock` and gone when it is released. `flock` rather than `lockf`:
on a local disk it belongs to the open file, so two runs in one process exclude each other and closing some other file
does not release it; on NFS, Linux turns it into a byte-range lock that the server keeps, so it holds between machines.
The files themselves say nothing: one that a killed process left behind is locked again like a new one, and no time
stamp is looked at. Only a child forked without `exec` shares it, and keeps it when its parent dies. Where a file system
has no locks there is nothing to hold.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from jaxticket.storage.files import naming_errors

try:
    import fcntl
except ImportError:  # not POSIX
    fcntl = None

LOCK = ".lock"

_BUSY = (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Lock:
    """A lock on one folder.

    Args:
        folder: the folder; it is made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / LOCK
        self._descriptor: int | None = None

    def take(self) -> str | None:
        """Takes the lock if it is free.

        Returns:
            None: it is held now. Else who holds it, as `HOST:PROCESS`.

        Raises:
            TicketError: the operating system refuses to write there.
        """
        if fcntl is None or self._descriptor is not None:
            return None
        while True:
            with naming_errors("write", self._file):
                self.folder.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = os.pread(descriptor, 256, 0).decode(errors="replace").strip()
                os.close(descriptor)
                if error.errno in _BUSY:
                    return holder or "another process"
                if error.errno in _NO_LOCKS:
                    return None
                raise
            if self._is_still_there(descriptor):
                break
            os.close(descriptor)  # the one before removed it after this one had opened it
        self._descriptor = descriptor
        with contextlib.suppress(OSError):  # a full disk; the lock is held all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{socket.gethostname()}:{os.getpid()}\n".encode(), 0)
        return None

    def release(self) -> None:
        """Gives the lock back; nothing happens where it is not held."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            self._file.unlink()  # before it is unlocked: nobody else can hold the file of this name
        os.close(self._descriptor)
        self._descriptor = None

    def _is_still_there(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._file.stat())
        except OSError:
            return False


@contextlib.contextmanager
def attempt(folder: Path) -> Iterator[str | None]:
    """Holds the lock on a folder if it is free; gives None then, else who holds it."""
    lock = Lock(folder)
    try:
        yield lock.take()
    finally:
        lock.release()
