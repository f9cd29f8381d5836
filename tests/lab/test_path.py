"""From a key on the command line to the mask that it makes: a few functions, in a few files."""

import traceback
from pathlib import Path

import pytest

import jaxticket
from jaxticket.core import scope_counts
from jaxticket.main import main

pytestmark = pytest.mark.feature("options and registries")

PACKAGE = Path(jaxticket.__file__).parent


def test_a_rate_comes_to_its_mask_directly(tmp_path, monkeypatch):
    paths, count = [], scope_counts.numbers_to_remove

    def noted(kept, sizes, *, rate=None, sparsity=None):
        if rate == 0.3:
            frames = [frame for frame in traceback.extract_stack() if Path(frame.filename).is_relative_to(PACKAGE)]
            paths.append([(frame.filename, frame.name) for frame in frames])
        return count(kept, sizes, rate=rate, sparsity=sparsity)

    monkeypatch.setattr(scope_counts, "numbers_to_remove", noted)
    small = ["--config.levels=1", "--config.train.epochs=1", "--config.seeds=(0,)", f"--workdir={tmp_path}"]
    assert main(["--config=imp", "--config.prune.rate=0.3", *small]) == 0
    to_mask = paths[-1]  # the first one is of the plan
    assert [name for _, name in to_mask[:4]] == ["main", "run_experiment", "imp", "for_each_seed"]
    assert len(to_mask) <= 12
    assert len({file for file, _ in to_mask}) <= 8
