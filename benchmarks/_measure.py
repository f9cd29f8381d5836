"""What every benchmark shares: timing in turns, its summary, the machine, and the file of a result."""

import datetime
import importlib.metadata
import json
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

RESULTS = Path(__file__).resolve().parent / "results"


def interleaved(contenders: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every call, with the contenders taking turns, so that a slow moment of the machine hits them all.

    Args:
        contenders: name -> function without arguments, whose result is waited for. Each is called once before the
            clock starts, in which it compiles.
        rounds: timed calls per contender; every other round goes through them backwards.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for call in contenders.values():
        jax.block_until_ready(call())
    for number in range(rounds):
        for name in list(contenders)[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            jax.block_until_ready(contenders[name]())
            seconds[name].append(time.perf_counter() - start)
    return seconds


def first_call(function: Callable[[], Any]) -> float:
    """Seconds of one call with nothing compiled before it."""
    jax.clear_caches()
    start = time.perf_counter()
    jax.block_until_ready(function())
    return float(f"{time.perf_counter() - start:.4g}")


def summary(numbers: Sequence[float]) -> dict[str, float]:
    """The count, median and range of measurements, to four digits."""
    found = {"median": statistics.median(numbers), "min": min(numbers), "max": max(numbers)}
    return {"n": len(numbers)} | {name: float(f"{number:.4g}") for name, number in found.items()}


def ratio(seconds: Mapping[str, Sequence[float]], of: str, to: str) -> dict[str, float]:
    """Summary of the time of `of` divided by that of `to`, taken round by round."""
    return summary([a / b for a, b in zip(seconds[of], seconds[to], strict=True)])


def write(name: str, results: Mapping[str, Any]) -> Path:
    """Writes `results/<name>-<device>-jax<version>.json`: the command, the day, the machine and the results."""
    found = machine()
    head = {
        "command": " ".join(["python", os.path.relpath(sys.argv[0], RESULTS.parents[1]), *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "machine": found,
    }
    slug = re.sub(r"[^a-z0-9.]+", "-", f"{name} {found['device']} jax{found['versions']['jax']}".lower())
    path = RESULTS / f"{slug}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(head | dict(results), indent=2) + "\n")
    return path


def machine() -> dict[str, Any]:
    """The device that computes, the processor and its usable cores, the load on it, and the versions that matter."""
    device = jax.devices()[0]
    cpu = _cpu_model()
    return {
        "device": cpu if device.platform == "cpu" else device.device_kind,
        "devices": jax.device_count(),
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy")},
    }


def _cpu_model() -> str:
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()
