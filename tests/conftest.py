"""One strict session: warnings are errors, no silent promotion, eight CPU devices, a warm compile cache."""

import contextlib
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Set before JAX starts; subprocesses of the tests inherit them.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")
os.environ.setdefault("MPLBACKEND", "svg")

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402

from jaxticket.core.criteria import criteria  # noqa: E402
from jaxticket.core.granularities import granularities  # noqa: E402
from jaxticket.core.scopes import scopes  # noqa: E402
from jaxticket.data.own.schemes import SCHEMES  # noqa: E402
from jaxticket.data.registry import DATASETS  # noqa: E402
from jaxticket.kernels import BACKENDS  # noqa: E402
from jaxticket.lab.registry import experiments  # noqa: E402
from jaxticket.models.registry import NETWORKS  # noqa: E402
from jaxticket.recipes.soft import SOFT_ACTIVATIONS  # noqa: E402
from jaxticket.report.registry import sections  # noqa: E402
from jaxticket.training.objectives import LOSSES, METRICS  # noqa: E402

REGISTRIES = [
    LOSSES,
    METRICS,
    SOFT_ACTIVATIONS,
    criteria,
    scopes,
    granularities,
    NETWORKS,
    DATASETS,
    SCHEMES,
    experiments,
    BACKENDS,
    sections,
]
pytest_plugins = ["tests.small_runs", "tests.made_studies"]

# The first example of a test may compile, and machines are shared: no test depends on the time it takes.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True)
def registries():
    """What a test registers is known to no other test."""
    with contextlib.ExitStack() as stack:
        for registry in REGISTRIES:
            stack.enter_context(registry.restored())
        yield


# Of the same code as a smaller sibling that is tested, and slower to compile. Tests of theirs that are marked `deep` or
# `every_depth` run with `-m deep`, and not in the automatic checks.
DEEPER_SIBLINGS = {
    *("resnet32", "resnet34", "resnet44", "resnet56", "resnet101", "resnet110", "resnet152"),
    *("preresnet101", "preresnet164", "vgg13", "vgg16", "vgg19", "densenet121", "vit_s", "resnet18", "wide_resnet"),
}


@pytest.hookimpl(tryfirst=True)  # before those that are not asked for are left out
def pytest_collection_modifyitems(items):
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        network = parameters.get("name", parameters.get("model"))
        deeper = isinstance(network, str) and network in DEEPER_SIBLINGS
        if deeper and any(map(item.get_closest_marker, ("deep", "every_depth"))):
            item.add_marker("deep")
            item.add_marker("sibling")
