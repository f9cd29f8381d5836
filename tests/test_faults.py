"""Runs that are killed or asked to stop, and must end in the same bits as undisturbed ones."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxticket.main import main
from jaxticket.storage import checksum

ROOT = Path(__file__).resolve().parents[1]
ARGUMENTS = [
    f"--config={ROOT / 'configs' / 'imp.py'}",
    "--config.seeds=(0,)",
    "--config.levels=2",
    "--config.train.epochs=6",
    "--config.train.batch_size=32",
    "--config.train.checkpoint_epochs=1",
]
KILLS = 20

pytestmark = [pytest.mark.feature("crashes, signals and full disks"), pytest.mark.slow]


def start(workdir, fault=""):
    return subprocess.Popen(
        [sys.executable, "-m", "jaxticket.main", *ARGUMENTS, f"--workdir={workdir}"],
        env={**os.environ, **({"JAXTICKET_FAULT": fault} if fault else {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )


def wait_for_work(process, workdir):
    """Waits until the run has begun a stage: what comes before, loading and compiling, leaves nothing behind."""
    begun = {stage for stage in workdir.glob("stages/*") if not (stage / "manifest.json").exists()}
    done = set(workdir.glob("stages/*/manifest.json"))
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if set(workdir.glob("stages/*/manifest.json")) != done:
            return
        for stage in set(workdir.glob("stages/*")):
            fresh = stage not in begun and not (stage / "manifest.json").exists()
            if fresh or list(stage.glob("checkpoints/*tmp*")):
                return
        time.sleep(0.005)


def finish(workdir):
    process = start(workdir)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def results(workdir):
    """Every bit that must not depend on how the run went: masks, weights, tickets, rows and curves."""
    (folder,) = workdir.glob("imp-*")
    found = {
        str(file.relative_to(workdir)): checksum(file)
        for file in [*workdir.glob("stages/*/*.safetensors"), *folder.glob("tickets/*/ticket.safetensors")]
    }
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["complete"]
    found["rows"] = [{**row, "seconds": 0, "cached": 0} for row in summary["rows"]]
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    found["curves"] = [{**json.loads(line), "seconds": 0} for line in lines]
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("undisturbed")
    finish(workdir)
    return results(workdir)


def leftovers(workdir):
    return [path for path in workdir.rglob("*") if re.search(r"checkpoints|\.tmp|tmp-|trash", path.name)]


def into_the_future(workdir):
    """What a machine with a wrong clock would have left behind."""
    for path in workdir.rglob("*"):
        os.utime(path, (4e9, 4e9))


def strike(workdir, fault):
    """Runs into a fault."""
    process = start(workdir, fault)
    output, _ = process.communicate(timeout=120)
    if fault.endswith(":full"):
        assert process.returncode == 2, output
        (line,) = re.findall(r"^error: .*", output, re.MULTILINE)
        assert "No space left on device; check" in line
        assert "Traceback" not in output
    else:
        assert process.returncode == -signal.SIGKILL, (fault, output)
    into_the_future(workdir)


def rows(workdir):
    (folder,) = workdir.glob("imp-*")
    return json.loads((folder / "summary.json").read_text())["rows"]


@pytest.mark.deep
def test_killed_where_it_hurts_ends_in_same_bits(undisturbed, tmp_path):
    strike(tmp_path, "checkpoint/started:2")  # the first level's, the third in the table of stages
    strike(tmp_path, "stage/tidied:1")  # its checkpoints are gone and its manifest is not written
    finish_line = start(tmp_path, "ticket.safetensors/named:1")
    output, _ = finish_line.communicate(timeout=120)
    assert finish_line.returncode == -signal.SIGKILL, output
    assert rows(tmp_path)[0]["cached"]  # nothing was trained again for the missing manifest
    strike(tmp_path, "summary.json/written:3:full")
    finish(tmp_path)
    assert results(tmp_path) == undisturbed
    assert leftovers(tmp_path) == []


# In the order in which a run that starts again and again comes to them; benchmarks/kills.py draws from all there are.
POINTS = [
    *("config.json/named:1", "weights.safetensors/written:1", "manifest.json/written:1", "checkpoint/begin:2:full"),
    *("manifest.json/written:2", "last.safetensors/written:1:full", "finished.json/written:1", "finished.json/named:1"),
    *("summary.json/written:1:full", "checkpoint/saved:1", "ticket.json/named:1", "report.html/begin:1"),
]


@pytest.mark.deep
def test_killed_at_more_points_ends_in_same_bits(undisturbed, tmp_path):
    for fault in POINTS:
        strike(tmp_path, fault)
    finish(tmp_path)
    assert results(tmp_path) == undisturbed
    assert leftovers(tmp_path) == []


def test_folder_being_written_is_refused_with_process(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("jaxticket.storage.attempt", lambda folder: contextlib.nullcontext("node7:4711"))
    assert main([*ARGUMENTS, f"--workdir={tmp_path}"]) == 2
    line = rf"error: {tmp_path}/imp-\w+ is being written by the same command, process node7:4711; wait or stop it\n"
    assert re.fullmatch(line, capsys.readouterr().err)


def test_work_folder_that_cannot_be_written_is_refused(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main([*ARGUMENTS, f"--workdir={tmp_path / 'file'}"]) == 2
    captured = capsys.readouterr()
    assert re.fullmatch(r"error: --workdir='\S+/file': cannot be written to \(Not a directory\)\n", captured.err)


@pytest.mark.deep
def test_same_command_at_same_time_is_refused(undisturbed, tmp_path):
    """Two runs on one work folder: the stages are shared, the experiment's own folder is not."""
    first = start(tmp_path)
    wait_for_work(first, tmp_path)
    while not (locked := list(tmp_path.glob("imp-*/.lock"))):
        time.sleep(0.01)
    second = start(tmp_path)
    other = subprocess.Popen(
        [sys.executable, "-m", "jaxticket.main", *ARGUMENTS, "--config.name=other", f"--workdir={tmp_path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )
    os.kill(first.pid, signal.SIGSTOP)  # a slow machine
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 2
    assert re.search(rf"^error: {locked[0].parent} is being written by .* \S+:{first.pid}; ", output, re.MULTILINE)
    time.sleep(1.0)
    os.kill(first.pid, signal.SIGCONT)
    for process in (first, other):
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    assert f":{first.pid}" in output
    assert "waiting for stage train-" in output
    assert len(list(tmp_path.glob("stages/train-*"))) == 3
    assert results(tmp_path) == undisturbed
    assert leftovers(tmp_path) == []


@pytest.mark.timeout(900)
def test_killed_at_random_moments_ends_in_same_bits(undisturbed, tmp_path):
    rng, kills, finished = random.Random(0), 0, 0
    while kills < KILLS:
        workdir = tmp_path / str(finished)
        process = start(workdir)
        wait_for_work(process, workdir)
        try:
            output, _ = process.communicate(timeout=rng.uniform(0, 1.2))
            assert process.returncode == 0, output
            assert results(workdir) == undisturbed
            finished += 1
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            assert process.returncode == -signal.SIGKILL
            kills += 1
    finish(tmp_path / str(finished))
    assert results(tmp_path / str(finished)) == undisturbed
    assert leftovers(tmp_path) == []


def test_sigterm_saves_and_continues_to_same_bits(undisturbed, tmp_path):
    for moment in (0.0, 0.3, 0.1):
        process = start(tmp_path)
        wait_for_work(process, tmp_path)
        time.sleep(moment)
        process.terminate()
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 75, output
        assert "the same command continues" in output
    finish(tmp_path)
    assert results(tmp_path) == undisturbed
    assert leftovers(tmp_path) == []


def test_sigterm_before_training_starts_is_honoured_too(tmp_path):
    process = start(tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("stages/init-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 75
