"""From a mask to the ticket on the disk."""

import collections

import pytest

from jaxticket import storage
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
