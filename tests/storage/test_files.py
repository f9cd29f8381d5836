"""Atomic writes: a reader sees the old file or the new one, and a killed writer leaves nothing in the way."""

import contextlib
import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from jaxticket import storage
from jaxticket.core.errors import TicketError
from jaxticket.storage import files

pytestmark = [pytest.mark.feature("crashes, signals and full disks"), pytest.mark.smoke]


def test_bytes_come_back_and_folders_are_made(tmp_path):
    target = tmp_path / "a" / "b" / "file"
    storage.write_bytes(target, b"one")
    storage.write_bytes(str(target), b"two")
    assert storage.read_bytes(target) == b"two"
    assert storage.checksum(target) == hashlib.sha256(b"two").hexdigest()
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_permissions_are_those_of_any_new_file(tmp_path):
    storage.write_bytes(tmp_path / "ours", b"")
    (tmp_path / "theirs").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_failed_write_leaves_only_old_file(tmp_path, monkeypatch, failing):
    target = tmp_path / "file"
    storage.write_bytes(target, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "replace")), full)
    with pytest.raises(TicketError, match=r"cannot write .*file: No space left on device; check") as error:
        storage.write_bytes(target, b"new")
    assert "\n" not in str(error.value)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_file_that_outgrows_disk_leaves_old_one(tmp_path):
    """The kernel's refusal itself, by way of the largest file that this process may write."""
    target = tmp_path / "file"
    storage.write_bytes(target, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        with pytest.raises(TicketError, match=r"cannot write .*file: File too large; check"):
            storage.write_bytes(target, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@contextlib.contextmanager
def as_nobody():
    """Root may write anywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_read_only_folder_can_be_read():
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        storage.write_bytes(folder / "file", b"old")
        folder.chmod(0o555)
        with as_nobody():
            for write in (lambda: storage.write_bytes(folder / "file", b"new"), storage.Lock(folder).take):
                with pytest.raises(TicketError, match=r"cannot write .*: Permission denied; check") as error:
                    write()
                assert "\n" not in str(error.value)
            assert storage.read_bytes(folder / "file") == b"old"
        folder.chmod(0o755)


@pytest.mark.parametrize("read", [storage.read_bytes, storage.checksum, storage.read_json])
def test_file_replaced_while_read_is_read_again(tmp_path, monkeypatch, read):
    storage.write_json(tmp_path / "file", [1])
    expected, times = read(tmp_path / "file"), []
    real = Path.open

    def stale(path, *arguments, **options):
        times.append(1)
        if len(times) < 3:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", stale)
    assert read(tmp_path / "file") == expected
    monkeypatch.setattr(Path, "open", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.ESTALE, "Stale file")))
    with pytest.raises(TicketError, match=r"cannot read .*: Stale file"):
        read(tmp_path / "file")


def test_files_are_on_disk_before_they_are_named(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(os, "fsync", lambda _: events.append("fsync"))
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda old, new: (events.append(new.name), replace(old, new)))
    storage.write_files({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert events[:3] == ["fsync", "fsync", "a"]
    assert [event for event in events if event != "fsync"] == ["a", "b"]


def test_killed_writer_leaves_old_file(tmp_path):
    target = tmp_path / "file"
    code = (
        "import sys, jaxticket.storage as s\n"
        "s.write_bytes(sys.argv[1], b'0' * 9); print('ready', flush=True)\n"
        "while True: s.write_bytes(sys.argv[1], b'1' * 20_000_000); s.write_bytes(sys.argv[1], b'2' * 20_000_000)"
    )
    leftovers = 0
    for attempt in range(4):
        writer = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(0.05 + 0.03 * attempt)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        content = target.read_bytes()
        assert content in (b"0" * 9, b"1" * 20_000_000, b"2" * 20_000_000)
        leftovers += len(list(tmp_path.iterdir())) - 1
    assert leftovers  # or the kills missed what this is about
    storage.write_bytes(target, b"last")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_temporary_files_of_living_writers_stay(tmp_path):
    host = files.socket.gethostname()
    others = [tmp_path / f".file.{host}-{os.getppid()}-0.tmp", tmp_path / ".file.elsewhere-1-0.tmp"]
    unrelated = tmp_path / f".file.txt.{host}-999999999-0.tmp"
    stale = tmp_path / f".file.{host}-999999999-0.tmp"
    for path in (*others, unrelated, stale):
        path.touch()
    storage.write_bytes(tmp_path / "file", b"")
    assert all(path.exists() for path in (*others, unrelated))
    assert not stale.exists()


@pytest.mark.parametrize("read", [storage.read_bytes, storage.checksum, storage.read_json, storage.load_arrays])
def test_missing_file_is_one_line(tmp_path, read):
    with pytest.raises(TicketError, match=r"cannot read .*absent: there is no such file") as error:
        read(tmp_path / "absent")
    assert "\n" not in str(error.value)


def test_folder_in_place_of_file_is_one_line(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(TicketError, match="cannot read"):
        storage.read_bytes(tmp_path / "taken")
    with pytest.raises(TicketError, match="cannot write"):
        storage.write_bytes(tmp_path / "taken", b"")
    (tmp_path / "file").touch()
    with pytest.raises(TicketError, match="cannot write"):
        storage.write_bytes(tmp_path / "file" / "below", b"")


def test_storage_does_not_import_jax():
    code = "import sys, jaxticket.storage; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
