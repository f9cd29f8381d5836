"""One small run of every experiment ends in the masks and weights that it ended in when they were stored."""

import numpy as np
import pytest

from jaxticket.experiments import names
from tests.golden.make_runs import FILE, RUNS, collect

pytestmark = [pytest.mark.feature("results that stay the same")]

TOLERANCE = {"accuracy": 0.006, "ticket": 1e-5, "trained": 1e-5}  # of 360 test images, two


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """One folder for all, so that the dense network is trained once."""
    return tmp_path_factory.mktemp("golden")


def difference(found, stored):
    """The first entry that is not as it was stored; empty where there is none."""
    if missing := sorted(found.keys() ^ stored.keys()):
        return f"{missing[0]}: is in one of the two"
    for key, value in found.items():
        kind = key.rpartition("/")[2]
        if value.shape != stored[key].shape:
            return f"{key}: shape {value.shape}, stored {stored[key].shape}"
        if not np.allclose(value, stored[key], rtol=0, atol=TOLERANCE.get(kind, 0)):
            return f"{key}: differs by {np.abs(value.astype(np.float64) - stored[key]).max()}"
    return ""


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(FILE))


def stored_of(golden, name):
    return {key: value for key, value in golden.items() if key.startswith(f"{name}/")}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_ends_as_it_did(name, workdir, golden):
    assert difference(collect(name, workdir), stored_of(golden, name)) == ""


def test_every_experiment_has_a_run():
    assert set(RUNS) == set(names())


@pytest.mark.parametrize("kind", ["mask", "trained", "accuracy"])
def test_a_difference_is_seen(golden, kind):
    """A single bit of a mask, or a weight that is off by more than rounding."""
    stored = stored_of(golden, "imp")
    changed = dict(stored)
    key = next(key for key in stored if key.endswith(f"/{kind}"))
    changed[key] = changed[key].copy()
    if kind == "mask":
        changed[key][0] ^= 1
    else:
        changed[key] += np.float32(0.01 if kind == "accuracy" else 2e-5)
    assert difference(changed, stored).startswith(key)
