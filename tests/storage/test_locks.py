"""Locks: one holder at a time, who is named; a dead one holds nothing."""

import os
import subprocess
import sys
import threading

import pytest

from jaxticket import storage
from jaxticket.core.errors import TicketError
from jaxticket.storage import locks

pytestmark = [pytest.mark.feature("crashes, signals and full disks")]

HOLD = (
    "import pathlib, sys, time, jaxticket.storage as s\n"
    "lock = s.Lock(pathlib.Path(sys.argv[1])); assert lock.take() is None; print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock on `tmp_path`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_held_by_another_process_names_it(tmp_path, holder):
    lock = storage.Lock(tmp_path)
    assert lock.take() == f"{locks.socket.gethostname()}:{holder.pid}"
    holder.kill()
    holder.wait()
    os.utime(tmp_path / ".lock", (4e9, 4e9))  # time stamps, even ones of the future, mean nothing
    assert lock.take() is None
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_within_process_too_and_free_again_after_it(tmp_path):
    folder = tmp_path / "made"
    with storage.attempt(folder) as holder:
        assert holder is None
        with storage.attempt(folder) as second:
            assert second == f"{locks.socket.gethostname()}:{os.getpid()}"
        assert storage.Lock(folder).take() is not None  # the second one did not release the first
    with storage.attempt(folder) as holder:
        assert holder is None
    assert list(folder.iterdir()) == []


def test_many_takers_never_hold_it_at_once(tmp_path):
    holding, worst = 0, 0

    def work():
        nonlocal holding, worst
        for _ in range(200):
            lock = storage.Lock(tmp_path)
            if lock.take() is None:
                holding += 1
                worst = max(worst, holding)
                holding -= 1
                lock.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worst == 1


def test_file_removed_before_locking_is_no_lock(tmp_path, monkeypatch):
    before, lock, flock = storage.Lock(tmp_path), storage.Lock(tmp_path), locks.fcntl.flock
    assert before.take() is None

    def late(*arguments):
        before.release()
        return flock(*arguments)

    monkeypatch.setattr(locks.fcntl, "flock", late)
    assert lock.take() is None
    assert storage.Lock(tmp_path).take() is not None
    lock.release()


@pytest.mark.parametrize("number", [locks.errno.ENOLCK, locks.errno.EOPNOTSUPP])
def test_file_systems_without_locks_have_nothing_to_hold(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with storage.attempt(tmp_path) as holder:
        assert holder is None


def test_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TicketError, match=r"cannot write .*\.lock: Not a directory; check") as error:
        storage.Lock(tmp_path / "file" / "below").take()
    assert "\n" not in str(error.value)
