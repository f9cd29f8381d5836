"""A short run on real Fashion-MNIST, where Debian's package with the files is installed."""

import json
from pathlib import Path

import pytest

from jaxticket.main import main

ROOT = Path(__file__).resolve().parents[1]
FILES = Path("/usr/share/datasets/fashion-mnist")

pytestmark = [
    pytest.mark.feature("data sets"),
    pytest.mark.slow,
    pytest.mark.skipif(not FILES.exists(), reason="Debian's dataset-fashion-mnist is not installed"),
]


def test_imp_of_lenet300_finds_a_ticket_that_trains(tmp_path):
    arguments = [
        f"--config={ROOT / 'configs' / 'imp.py'}:model=lenet300,dataset=fashion_mnist",
        f"--config.data.folder={tmp_path / 'data'}",
        "--config.levels=3",
        "--config.train.epochs=2",
        "--config.seeds=(0,)",
        f"--workdir={tmp_path / 'runs'}",
    ]
    assert main(arguments) == 0
    (summary,) = (tmp_path / "runs").glob("imp-*/summary.json")
    rows = json.loads(summary.read_text())["rows"]
    # All kernels are prunable by the preset, and every level is round(rate * alive).
    assert [row["kept"] for row in rows] == [266200, 212960, 170368, 136294]
    assert all(0.83 < row["test_accuracy"] < 0.92 for row in rows)
    assert max(abs(row["test_accuracy"] - rows[0]["test_accuracy"]) for row in rows) < 0.03
