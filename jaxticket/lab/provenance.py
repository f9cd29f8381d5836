"""Where and with what something was computed: device and commit."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

from jaxticket.parallel import SINGLE, Layout, Sharded


def device(layout: Layout = SINGLE) -> dict[str, Any]:
    """The kind and number of JAX's devices and processes, how a network lies on them, the processor and its cores."""
    machine = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        machine = names[0].partition(":")[2].strip() if names else machine
    return {
        "kind": jax.devices()[0].device_kind,
        "count": jax.device_count(),
        "processes": jax.process_count(),
        "mesh": dict(layout.mesh.shape) if isinstance(layout, Sharded) else None,
        "cores": os.cpu_count(),
        "machine": machine,
    }


def commit() -> str | None:
    """The commit of the source tree, with a plus where it was changed; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
