"""From a clone to the first report: `python benchmarks/first_report.py`.

Runs the command that stands under "Quickstart" in the README in a fresh clone, with pip's cache off: a new virtual
environment, the installation, the run, the report. How long packages take to come depends on the network. Seven
minutes for five rounds; the result is written to `benchmarks/results/`.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The folder of this file must not be searched for imports: it holds a module named like a standard one.
sys.path[0] = str(ROOT)

import subprocess  # noqa: E402

from benchmarks._measure import summary, write  # noqa: E402


def seconds_of_a_round() -> tuple[float, float]:
    """Until the command has ended, and until there was an environment with the package in it.

    Raises:
        subprocess.CalledProcessError: a command failed.
        RuntimeError: no report was written.
    """
    command = subprocess.check_output(["python3", ROOT / ".ci" / "readme_command.py", "Quickstart"], text=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"PIP_NO_CACHE_DIR": "1", "PIP_QUIET": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "jaxticket"
        subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
        begun, wall = time.perf_counter(), time.time()
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command], cwd=clone, env=environment, check=True, capture_output=True
        )
        seconds = time.perf_counter() - begun
        reports = list(clone.glob("runs/*/report.html"))
        if len(reports) != 1:
            raise RuntimeError(f"{len(reports)} reports in {clone / 'runs'}; one was expected")
        (config,) = clone.glob("runs/*/config.json")
        return seconds, config.stat().st_mtime - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="fresh clones")
    options = parser.parse_args()
    rounds = []
    for _ in range(options.rounds):
        rounds.append(seconds_of_a_round())
        print(f"{rounds[-1][0]:.1f} s, of which {rounds[-1][1]:.1f} s until the run began", flush=True)
    whole, before = zip(*rounds, strict=True)
    print(write("first-report", {"seconds": {"whole": summary(whole), "until the run begins": summary(before)}}))


if __name__ == "__main__":
    main()
