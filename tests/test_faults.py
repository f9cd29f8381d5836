"""Runs that are killed or asked to stop, and must end in the same bits as undisturbed ones."""

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

pytestmark = pytest.mark.slow


def start(workdir):
    return subprocess.Popen(
        [sys.executable, "-m", "jaxticket.main", *ARGUMENTS, f"--workdir={workdir}"],
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


@pytest.mark.timeout(900)
def test_killed_at_20_random_moments_ends_in_the_same_bits(undisturbed, tmp_path):
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


def test_sigterm_saves_exits_75_and_continues_to_the_same_bits(undisturbed, tmp_path):
    for moment in (0.0, 0.3, 0.1):
        process = start(tmp_path)
        wait_for_work(process, tmp_path)
        time.sleep(moment)
        process.terminate()
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 75, output
        assert "the same command goes on" in output
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
