"""The versions that a result depends on."""

import importlib.metadata
import platform

_PACKAGES = ("jaxticket", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "safetensors")


def versions() -> dict[str, str]:
    """Python's version and those of the installed packages that matter, by name."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
