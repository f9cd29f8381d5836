"""Several real processes on this machine: one run, one folder, one end."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import jaxticket as jt
from jaxticket.core.errors import ConfigError
from jaxticket.experiments import resolve, run_experiment
from jaxticket.main import read_flags
from jaxticket.parallel import launch, peers, processes
from jaxticket.storage import load_arrays
from jaxticket.training.interrupts import InterruptedRun
from jaxticket.training.progress import Quiet

pytestmark = [pytest.mark.feature("seeds and devices side by side")]

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = {"seeds": (0,), "levels": 1, "train.epochs": 16, "train.batch_size": 256, "data.val_fraction": 0.0}
SGD = {"train.optimizer": "sgd", "train.lr": 0.05}  # Adam makes steps of gradients that are zero but for rounding
SAVING = {"train.checkpoint_epochs": 1}  # which takes half of the time


def start(number, workdir, **changes):
    """The processes of one run, numbered; standard error is standard output."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "jaxticket.main", f"--workdir={workdir}", *arguments(**changes)]
    environment = {**os.environ, "JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(number)}
    environment["TMPDIR"] = str(workdir.parent)  # a killed process leaves its own folder behind
    return [
        subprocess.Popen(
            command,
            env={**environment, "JAX_PROCESS_ID": str(index)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(number)
    ]


@contextlib.contextmanager
def run(number, workdir, **changes):
    """The same; none of them outlives the context."""
    started = start(number, workdir, **changes)
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
            process.stdout.close()


def ends(started):
    """Exit code and output of every process."""
    outputs = [process.communicate(timeout=150)[0] for process in started]
    return [(process.returncode, output) for process, output in zip(started, outputs, strict=True)]


def checkpoints(workdir):
    return {path for path in workdir.glob("stages/train-*/checkpoints/[0-9]*") if "tmp" not in path.name}


def wait_for_a_checkpoint(workdir, started):
    known, deadline = checkpoints(workdir), time.monotonic() + 100
    while not checkpoints(workdir) - known:
        assert all(process.poll() is None for process in started), ends(started)
        assert time.monotonic() < deadline
        time.sleep(0.02)


def arguments(**changes):
    changed = [f"--config.{key}={value}" for key, value in (OPTIONS | changes).items()]
    return [f"--config={ROOT / 'configs' / 'imp.py'}", *changed]


def options(**changes):
    return resolve(read_flags(arguments(**changes)).config)


def assert_same_results(workdir, expected):
    """Masks and tickets have the same bits, weights are equal to float tolerance."""
    files = sorted(path.relative_to(expected) for path in expected.glob("stages/*/*.safetensors"))
    files += sorted(path.relative_to(expected) for path in expected.glob("*/tickets/*/*.safetensors"))
    assert any("ticket" in file.name for file in files)
    for file in files:
        found, wanted = load_arrays(workdir / file), load_arrays(expected / file)
        assert found.keys() == wanted.keys()
        for name, array in wanted.items():
            if "train" in str(file):
                np.testing.assert_allclose(found[name], array, atol=2e-5, err_msg=f"{file} {name}")
            else:
                np.testing.assert_array_equal(found[name], array, err_msg=f"{file} {name}")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The work folder of a run by this process on one device."""
    workdir = tmp_path_factory.mktemp("alone")
    run_experiment(*options(), workdir)
    return workdir


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """What two processes left behind: one was killed, the other ended; started again, one was told to stop."""
    workdir = tmp_path_factory.mktemp("two")
    with run(2, workdir, **SAVING) as started:
        wait_for_a_checkpoint(workdir, started)
        started[1].kill()
        killed = time.monotonic()
        lost = ends(started), time.monotonic() - killed
    with run(2, workdir, **SAVING) as started:
        wait_for_a_checkpoint(workdir, started)
        started[1].terminate()
        told = ends(started)
    for name in ("one", "four"):
        shutil.copytree(workdir, workdir.with_name(name))
    return workdir, lost, told


def test_a_lost_process_is_named_within_a_minute(stopped):
    _, (((code, output), (lost, _)), seconds), _ = stopped
    assert (code, lost) == (1, -signal.SIGKILL), output
    assert re.search(r"error: process 0: process 1 \(.*\) is gone.*; the same command continues", output), output
    assert seconds < 60


def test_signal_to_one_stops_all_with_saves(stopped):
    workdir, _, told = stopped
    assert [code for code, _ in told] == [75, 75], told
    assert "going on from step" in told[0][1]
    assert "the same command continues" in told[0][1]
    assert "the same command continues" not in told[1][1]
    assert checkpoints(workdir.with_name("one"))
    assert not list(workdir.with_name("one").glob("**/*tmp*"))


def test_two_processes_have_masks_and_tickets_of_one(stopped, alone):
    workdir, *_ = stopped
    with run(2, workdir) as started:
        (code, output), (other, its_output) = ends(started)
    assert (code, other) == (0, 0), (output, its_output)
    assert "imp: lenet300 on digits" in output
    assert "lenet300" not in its_output
    assert_same_results(workdir, alone)
    (summary,) = workdir.glob("imp-*/summary.json")
    device = json.loads(summary.read_text())["device"]
    assert (device["processes"], device["mesh"]) == (2, {"data": device["count"], "fsdp": 1})
    (label,) = [path.name for path in workdir.glob("imp-*/tickets/*")]
    ticket, same = (jt.load_ticket(next(folder.glob(f"imp-*/tickets/{label}"))) for folder in (workdir, alone))
    assert jt.distance(ticket.mask, same.mask) == 0
    _, summary = run_experiment(*options(), workdir)
    assert all(row["cached"] for row in summary["rows"])


def test_saves_of_two_processes_continue_in_one(stopped, alone):
    workdir, told = stopped[0].with_name("one"), []

    class Told(Quiet):
        def start(self, label, *, steps, done, networks):
            told.append(done)

    run_experiment(*options(**{"mesh.data": 4}), workdir, progress=lambda _: Told())
    assert told[0] > 0
    assert_same_results(workdir, alone)


def finished(number, workdir, **changes):
    """The output of process 0 of a run that comes to its end, and its summary."""
    with run(number, workdir, **changes) as started:
        found = ends(started)
    assert [code for code, _ in found] == [0] * number, found
    (summary,) = workdir.glob("imp-*/summary.json")
    return found[0][1], json.loads(summary.read_text())


@pytest.mark.deep
def test_what_two_processes_saved_goes_on_in_four(stopped, alone):
    workdir = stopped[0].with_name("four")
    output, _ = finished(4, workdir)
    assert "going on from step" in output
    assert_same_results(workdir, alone)


@pytest.mark.deep
@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": (0, 1, 2), "train.epochs": 3},
        {"mesh.fsdp": 2, "model.name": "conv3", "model.options": "{'width': 0.25}", "train.epochs": 1} | SGD,
    ],
    ids=["replicates", "fsdp"],
)
def test_two_processes_and_one_agree(tmp_path, changes):
    """Replicates one per device, those that are left together; divided parameters and statistics of the whole batch."""
    finished(2, tmp_path / "many", **changes, **SAVING)
    run_experiment(*options(**changes | {"mesh.fsdp": 1}), tmp_path / "one")
    assert_same_results(tmp_path / "many", tmp_path / "one")


SLURM = dict.fromkeys(launch.SLURM, "2") | {"SLURM_PROCID": "1", "SLURM_LOCALID": "0"}
HERE = {"JAX_COORDINATOR_ADDRESS": "host:1234"}
EXPLICIT = {"num_processes": 2, "process_id": 1, "coordinator_address": "host:1234"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"JAX_NUM_PROCESSES": "1", "JAX_PROCESS_ID": "0"}, None),
        (HERE | {"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"}, EXPLICIT),
        (SLURM, {}),
        (SLURM | HERE, {}),
        (SLURM | {"SLURM_NTASKS": "1"}, None),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}, None),  # a batch script, not a step of it
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "OMPI_MCA_orte_hnp_uri": "1.0;tcp://a:1"}, {}),
        (HERE | {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, EXPLICIT),
        ({"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}, None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),
        ({"TPU_ML_PLATFORM": "JAX", "TPU_WORKER_HOSTNAMES": "a,b"}, {}),
        ({"TPU_ML_PLATFORM": "JAX", "TPU_SKIP_MDS_QUERY": "1"}, None),
        ({"TPU_ML_PLATFORM": "JAX", "JAX_PLATFORMS": "cpu"}, None),
    ],
)
def test_processes_are_found_by_the_environment(environment, expected):
    found = launch.find_arguments(environment)
    if expected:
        assert found.pop("cluster_detection_method") == "deactivate"
    assert found == expected


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"JAX_NUM_PROCESSES": "2"}, r"JAX_NUM_PROCESSES=2: .* belong together; set all three"),
        (HERE, r"JAX_COORDINATOR_ADDRESS=host:1234: no launcher was found; set JAX_NUM_PROCESSES and"),
        (HERE | {"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "2"}, r"JAX_PROCESS_ID=2: must be from 0 to 1"),
        (HERE | {"JAX_NUM_PROCESSES": "two", "JAX_PROCESS_ID": "2"}, r"JAX_PROCESS_ID: must be whole numbers"),
        ({"JAX_COORDINATOR_ADDRESS": "host", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "0"}, r"must be HOST:PORT"),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, r"OMPI_COMM_WORLD_SIZE=2: .* set JAX_COORDINATOR_ADDRESS=HOST:PORT"),
    ],
)
def test_half_an_environment_is_refused(environment, message):
    with pytest.raises(ConfigError, match=message):
        launch.find_arguments(environment)


def test_a_single_process_agrees_with_itself(tmp_path):
    value = object()
    assert processes.broadcast(value) is value
    assert processes.is_writer()
    processes.wait_for_all("nobody else")
    processes.wait_until_seen(tmp_path / "missing")
    with pytest.raises(ValueError, match="mine"), peers.ending_together(InterruptedRun):
        raise ValueError("mine")
