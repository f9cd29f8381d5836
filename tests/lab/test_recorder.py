"""From a mask to the ticket on the disk."""

import collections

import pytest

from jaxticket import storage
from jaxticket.core.errors import ConfigError
from jaxticket.lab.recorded_run import RecordedRun
from jaxticket.lab.recorder import Recorder
from jaxticket.lab.stages import references

pytestmark = pytest.mark.feature("reports")


def test_no_array_file_is_read_twice(make_run, tmp_path, monkeypatch):
    read, of_disk = collections.Counter(), storage.read_bytes

    def counted(path):
        read[path] += 1
        return of_disk(path)

    monkeypatch.setattr(references.storage, "read_bytes", counted)
    run = make_run(tmp_path, levels=2)
    assert sum(1 for row in run.rows if row["ticket"]) == 2
    of_stages = {
        path: times for path, times in read.items() if path.suffix == ".safetensors" and "stages" in path.parts
    }
    assert set(of_stages.values()) == {1}


def recorded(branch="omp", level=1, seed=0, **about):
    """A network of which only the names are known, as in a plan."""
    return RecordedRun(None, branch, level, seed, None, None, None, **about)


def test_a_network_is_recorded_once():
    recorder = Recorder()
    for run in (recorded(), recorded(level=2), recorded(seed=1), recorded("imp"), recorded(case={"lr": 0.1})):
        recorder.add(run)
    for again, label in ((recorded(), "omp-1-0"), (recorded(case={"lr": 0.1}), "omp-1-0-lr0.1")):
        with pytest.raises(ConfigError, match=f"row '{label}' is recorded twice; give one of them another branch"):
            recorder.add(again)


@pytest.mark.parametrize("branch", ["../../shot", "a/b", "", "a b", ".."])
def test_branches_are_parts_of_file_names(branch):
    with pytest.raises(ConfigError, match=r"branch=.*: must be letters, digits"):
        recorded(branch)


@pytest.mark.parametrize(
    ("about", "name"),
    [
        ({"extra": {"test_accuracy": 0.99}}, "test_accuracy"),
        ({"extra": {"seed": 0.5}}, "seed"),
        ({"extra": {"saved_epochs": []}}, "saved_epochs"),
        ({"case": {"level": 3}}, "level"),
        ({"case": {"lr": 0.1}, "extra": {"lr": 0.2}}, "lr"),
    ],
)
def test_facts_hide_no_value_of_the_row(about, name):
    message = f"facts of omp-1-0: '{name}' is a value that its row has already; choose another name"
    with pytest.raises(ConfigError, match=message):
        recorded(**about)
