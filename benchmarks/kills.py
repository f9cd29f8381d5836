"""What is lost when runs are killed: `python benchmarks/kills.py --kills 100`.

IMP of LeNet-300-100 on the digits, some seconds long with a checkpoint after every epoch, in one process and in two. It
is killed at a random moment or at a random named point (`jaxticket.storage.faults`), in two processes one of them or
both; the same command is started again, and killed again, until it comes to its end. A kill is survived when the run it
hit ends in the bits of an undisturbed one: all stages, all tickets, all rows of the summary and all curves, but for the
seconds they took and what was found done. Half an hour for 100 kills on two cores. The result is written to
`benchmarks/results/`; the exit code is 1 when anything was lost.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The folder of this file must not be searched for imports: it holds a module named like a standard one.
sys.path[0] = str(ROOT)

import argparse  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from typing import Any  # noqa: E402

from benchmarks._measure import summary, write  # noqa: E402
from jaxticket.storage import checksum  # noqa: E402

ARGUMENTS = [
    "--config=configs/imp.py",
    *("--config.seeds=(0,)", "--config.levels=1"),
    *("--config.train.epochs=6", "--config.train.batch_size=32", "--config.train.checkpoint_epochs=1"),
]
FILES = {
    **{"config.json": 1, "weights.safetensors": 1, "mask.safetensors": 2, "manifest.json": 12, "last.safetensors": 2},
    **{"best.safetensors": 2, "finished.json": 2, "summary.json": 3, "report.html": 1},
    **{"ticket.safetensors": 1, "ticket.json": 1},
}
# Point -> how often an undisturbed run comes to it, at most.
POINTS = {f"{file}/{moment}": count for file, count in FILES.items() for moment in ("begin", "written", "named")} | {
    **{"stage/commit": 5, "stage/tidied": 5},
    **{"checkpoint/begin": 10, "checkpoint/started": 10, "checkpoint/saved": 2},
}
SECONDS_FOR_A_RUN = 300.0


def start(workdir: Path, processes: int, fault: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "jaxticket.main"] if processes == 1 else ["launch/local.sh", str(processes)]
    environment = {**os.environ, "PYTHON": sys.executable, "GRACE": "1", "JAX_PLATFORMS": "cpu"}
    if fault:
        environment["JAXTICKET_FAULT"] = fault
    with (workdir / "log").open("ab") as log:
        return subprocess.Popen(
            [*command, *ARGUMENTS, f"--workdir={workdir / 'runs'}"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )


def wait_for_work(process: subprocess.Popen[bytes], workdir: Path) -> None:
    """Waits until a stage has been begun or found done: what comes before leaves nothing behind."""
    done = set(workdir.glob("runs/stages/*/manifest.json"))
    locked = set(workdir.glob("runs/*/.lock")) | set(workdir.glob("runs/stages/*/.lock"))
    for lock in locked:  # of processes that were killed; who takes it again makes it newer
        os.utime(lock, (0, 0))
    deadline = time.monotonic() + SECONDS_FOR_A_RUN
    while process.poll() is None and time.monotonic() < deadline:
        locks = [*workdir.glob("runs/*/.lock"), *workdir.glob("runs/stages/*/.lock")]
        if set(workdir.glob("runs/stages/*/manifest.json")) != done or any(_is_new(lock) for lock in locks):
            return
        time.sleep(0.01)


def _is_new(lock: Path) -> bool:
    try:
        return lock.stat().st_mtime > 0
    except OSError:
        return False


def kill(process: subprocess.Popen[bytes], processes: int, victims: list[int]) -> bool:
    """Kills a run, or these processes of it; False where it had ended before."""
    if processes == 1:
        process.kill()
    else:
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        except OSError:
            return False
        running = [int(child) for child in children if b"jaxticket.main" in _command(child)]
        for victim in victims:
            if victim < len(running):
                os.kill(sorted(running)[victim], signal.SIGKILL)
    process.wait(SECONDS_FOR_A_RUN)
    return process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)


def _command(process: str) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def bits(workdir: Path) -> dict[str, Any]:
    """Everything that must not depend on how the run went."""
    (folder,) = workdir.glob("runs/imp-*")
    files = [*workdir.glob("runs/stages/*/*.safetensors"), *folder.glob("tickets/*/ticket.safetensors")]
    found: dict[str, Any] = {str(file.relative_to(workdir)): checksum(file) for file in files}
    content = json.loads((folder / "summary.json").read_text())
    found["rows"] = [{**row, "seconds": 0, "cached": 0} for row in content["rows"]]
    found["complete"] = content["complete"]
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    found["curves"] = [{**json.loads(line), "seconds": 0} for line in lines]
    return found


def undisturbed(folder: Path, processes: int) -> tuple[dict[str, Any], float]:
    """The bits of a whole run, and how many seconds it works."""
    workdir = folder / f"undisturbed-{processes}"
    workdir.mkdir()
    process = start(workdir, processes, "")
    wait_for_work(process, workdir)
    begun = time.monotonic()
    if process.wait(SECONDS_FOR_A_RUN) != 0:
        sys.exit((workdir / "log").read_text())
    return bits(workdir), time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, kinds, killed_at, lost, runs = random.Random(arguments.seed), Counter(), Counter(), [], 0
    kills, starts_per_run = 0, []
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        expected = {processes: undisturbed(folder, processes) for processes in (1, 2)}
        for processes, (_, seconds) in expected.items():
            print(f"undisturbed, {processes} processes: {seconds:.1f} s", flush=True)
        while kills < arguments.kills:
            processes = 1 + runs % 2
            reference, seconds = expected[processes]
            workdir = folder / f"run-{runs}"
            workdir.mkdir()
            runs, here, starts, code = runs + 1, 0, 0, None
            while code is None:
                wants_more = kills < arguments.kills
                fault = ""
                if wants_more and rng.random() < 0.5:
                    point = rng.choice(sorted(POINTS))
                    fault = f"{point}:{rng.randint(1, POINTS[point])}"
                process, starts = start(workdir, processes, fault), starts + 1
                wait_for_work(process, workdir)
                moment = rng.uniform(0, seconds)
                try:
                    process.wait(moment if wants_more and not fault else SECONDS_FOR_A_RUN)
                    hit = bool(fault) and process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
                except subprocess.TimeoutExpired:
                    hit = kill(process, processes, rng.choice(([0], [1], [0, 1])))
                if hit:
                    kills, here = kills + 1, here + 1
                    kinds[f"{processes} processes, {'at a point' if fault else 'at a random moment'}"] += 1
                    killed_at[fault.partition(":")[0] or "a random moment"] += 1
                else:
                    code = process.returncode
            starts_per_run.append(starts)
            same = code == 0 and bits(workdir) == reference
            print(f"run {runs}: {processes} processes, {here} kills, {'survived' if same else 'LOST'}", flush=True)
            if not same:
                lost.append({"processes": processes, "kills": here, "exit_code": code})
                print((workdir / "log").read_text(), flush=True)
    results = {
        "kills": kills,
        "survived": kills - sum(one["kills"] for one in lost),
        "lost": lost,
        "runs": runs,
        "starts_per_run": summary(starts_per_run),
        "undisturbed_seconds": {processes: float(f"{seconds:.3g}") for processes, (_, seconds) in expected.items()},
        "kinds": dict(sorted(kinds.items())),
        "killed_at": dict(sorted(killed_at.items())),
    }
    print(write("kills", results))
    print(f"{kills} kills: {results['survived']} survived, {kills - results['survived']} lost")
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
