"""Checkpoints: exact, and what is damaged is told from what is not."""

import os
import re
import subprocess
import sys

import jax
import ml_dtypes
import numpy as np
import pytest

from jaxticket.core.errors import TicketError
from jaxticket.training.checkpoints import Checkpoints

pytestmark = [pytest.mark.feature("crashes, signals and full disks")]


def tree(step):
    rng = np.random.default_rng(step)
    return {
        "weights": rng.normal(size=(60, 50)).astype(np.float32),
        "mask": rng.random((60, 50)) < 0.5,
        "half": rng.normal(size=7).astype(ml_dtypes.bfloat16),
        "step": np.int32(step),
    }


def bits(arrays):
    return {name: np.asarray(array).tobytes() for name, array in arrays.items()}


@pytest.fixture
def folder(tmp_path):
    """Two checkpoints, of steps 3 and 6; that of step 2 has gone."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (2, 3, 6):
        checkpoints.save(step, jax.tree.map(jax.numpy.asarray, tree(step)), {"step": step})
    checkpoints.close()
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"3", "6"}
    return tmp_path / "checkpoints"


def restored(folder):
    """The step that is restored, and what is said about it."""
    notes = []
    checkpoints = Checkpoints(folder, notes.append)
    found = checkpoints.restore_latest(jax.tree.map(jax.numpy.asarray, tree(0)))
    checkpoints.close()
    if found is None:
        return None, notes
    arrays, info = found
    assert bits(arrays) == bits(tree(info["step"]))
    return info["step"], notes


def files(step):
    """The files of a checkpoint that it cannot do without."""
    found = [path for part in ("arrays", "info") for path in (step / part).rglob("*") if path.is_file()]
    return [*sorted(found, key=lambda path: -path.stat().st_size), step / "manifest.json"]


def test_newest_comes_back_to_bit_whatever_clock_says(folder):
    for path in folder.rglob("*"):
        os.utime(path, (4e9, 4e9) if "3" in path.parts else (0, 0))
    assert restored(folder) == (6, [])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(("damage", "which"), [(flip, 0), (cut, 0), (os.unlink, 0), (os.unlink, 1), (cut, -1)])
def test_damage_falls_back_to_checkpoint_before(folder, damage, which):
    """Orbax itself does not notice the first of these."""
    damaged = files(folder / "6")[which]
    damage(damaged)
    step, (note,) = restored(folder)
    assert step == 3
    assert note.startswith(f"damaged checkpoint: {damaged} ")
    assert note.endswith("; going on from that of step 3")
    assert "\n" not in note
    assert restored(folder) == (3, [])


def test_all_damaged_is_one_line_and_the_beginning(folder):
    flip(files(folder / "6")[0])
    (folder / "3" / "manifest.json").unlink()
    step, (note,) = restored(folder)
    assert step is None
    assert f"{folder / '3'} has no manifest.json; going on from the beginning" in note
    assert restored(folder) == (None, [])
    checkpoints = Checkpoints(folder)
    checkpoints.save(6, jax.tree.map(jax.numpy.asarray, tree(6)), {"step": 6})
    checkpoints.close()
    assert restored(folder) == (6, [])


def test_unfinished_rest_of_a_kill_is_gone(folder):
    unfinished = folder / "9.orbax-checkpoint-tmp"
    (unfinished / "arrays").mkdir(parents=True)
    Checkpoints(folder)
    assert not unfinished.exists()
    assert restored(folder) == (6, [])


def test_whether_to_stop_is_not_asked_here(tmp_path, monkeypatch):
    """JAX has one count of that question; asked here too, the training loop would never get its yes."""
    asked = []
    monkeypatch.setattr("jax.experimental.multihost_utils.reached_preemption_sync_point", asked.append)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, jax.tree.map(jax.numpy.asarray, tree(3)), {"step": 3})
    checkpoints.close()
    assert asked == []


def test_what_cannot_be_read_is_no_damage(folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    checkpoints = Checkpoints(folder)
    monkeypatch.setattr("jaxticket.storage.manifest.checksum", refuse)
    with pytest.raises(TicketError, match=r"cannot read .*: Permission denied; check"):
        checkpoints.latest_step()
    monkeypatch.undo()
    assert checkpoints.latest_step() == 6
    checkpoints.close()


FULL_DISK = """
import logging, pathlib, resource, sys
import jax
from jaxticket.core.errors import TicketError
from jaxticket.training.checkpoints import Checkpoints

logging.getLogger("absl").addHandler(logging.StreamHandler(sys.stdout))
checkpoints = Checkpoints(pathlib.Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (8000, resource.RLIM_INFINITY))
checkpoints.save(9, {"weights": jax.random.normal(jax.random.key(0), (60, 50))}, {"step": 9})
try:
    checkpoints.close()
except TicketError as error:
    print(error)
"""


def test_full_disk_leaves_checkpoint_before(folder):
    """The kernel's refusal itself, by way of the largest file that a process may write.

    In a process of its own, for threads of Orbax may find their event loop closed after that.
    """
    command = [sys.executable, "-c", FULL_DISK, str(folder)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert re.fullmatch(r"cannot save checkpoints in .*/checkpoints: File too large; check .*\n", found.stdout), found
    assert restored(folder) == (6, [])
