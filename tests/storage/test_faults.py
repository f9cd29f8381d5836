"""Fault points: nothing without the variable, and exactly the asked-for fault with it."""

import signal
import subprocess
import sys

import pytest

from jaxticket import storage
from jaxticket.core.errors import TicketError
from jaxticket.storage import faults

pytestmark = [pytest.mark.feature("crashes, signals and full disks")]

WRITE = (
    "import sys, jaxticket.storage as s\n"
    "for text in (b'1', b'2', b'3'): s.write_files({sys.argv[1] + '/a': text, sys.argv[1] + '/b': text})"
)


@pytest.fixture(autouse=True)
def _nothing_passed(monkeypatch):
    monkeypatch.setattr(faults, "_passed", faults.Counter())


@pytest.mark.parametrize(
    ("fault", "left"),
    [
        ("a/begin:2", ("1", "1")),
        ("b/begin:2", ("1", "1")),
        ("a/written:2", ("1", "1")),
        ("a/named:2", ("2", "1")),
        ("b/named:2", ("2", "2")),
        ("b/named:3:kill", ("3", "3")),
    ],
)
def test_a_kill_leaves_whole_files(tmp_path, monkeypatch, fault, left):
    monkeypatch.setenv("JAXTICKET_FAULT", fault)
    command = [sys.executable, "-c", WRITE, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert tuple((tmp_path / name).read_text() for name in "ab") == left


def test_full_disk_leaves_old_file(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXTICKET_FAULT", "file/written:2:full")
    storage.write_bytes(tmp_path / "file", b"old")
    with pytest.raises(TicketError, match=r"cannot write .*file: No space left on device; check"):
        storage.write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    storage.write_bytes(tmp_path / "file", b"new")


def test_without_the_variable_a_point_does_nothing(monkeypatch):
    monkeypatch.delenv("JAXTICKET_FAULT", raising=False)
    faults.point("anything")
    assert not faults._passed


@pytest.mark.parametrize("value", ["point", "point:", "point:x", "point:-1", "point:1:explode"])
def test_what_is_no_fault_is_refused(monkeypatch, value):
    monkeypatch.setenv("JAXTICKET_FAULT", value)
    with pytest.raises(ValueError, match=r"JAXTICKET_FAULT=.*must be POINT:COUNT"):
        faults.point("point")
