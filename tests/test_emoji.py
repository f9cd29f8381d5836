"""A whole small experiment on real colour images, of half of the classes."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxticket import data
from jaxticket.main import main
from jaxticket.ticket import load_ticket

pytestmark = [pytest.mark.feature("data sets")]

ROOT = Path(__file__).resolve().parents[1]
SPEC = data.spec("emoji32")


@pytest.mark.deep
@pytest.mark.skipif(
    not all(Path(archive.debian_path).is_file() for archive in SPEC.archives),
    reason=f"emoji32 needs the Debian packages {SPEC.debian_package}",
)
def test_tickets_of_convolutional_network_on_third_of_classes(tmp_path):
    arguments = [
        f"--config={ROOT}/configs/imp.py:model=conv3,dataset=emoji32",
        "--config.model.options={'width': 0.25}",
        "--config.data.part=1/3",
        "--config.data.augment.mixup=0.2",
        f"--config.data.folder={tmp_path}/data",
        f"--workdir={tmp_path}/runs",
        "--config.levels=1",
        "--config.seeds=(0,)",
        "--config.train.epochs=3",
        "--config.train.batch_size=32",
    ]
    assert main(arguments) == 0
    (folder,) = (tmp_path / "runs").glob("imp-*")
    summary = json.loads((folder / "summary.json").read_text())
    whole = data.load("emoji32", folder=tmp_path / "data")
    expected = {name: int((getattr(whole, name).labels < 3).sum()) for name in ("train", "val", "test")}
    assert {name: summary["dataset"][name] for name in expected} == expected
    assert (summary["dataset"]["classes"], summary["dataset"]["image_shape"]) == (3, [32, 32, 3])
    dense, pruned = summary["rows"]
    assert pruned["kept"] == dense["kept"] - round(0.2 * dense["kept"])
    chance = np.bincount(whole.test.labels)[:3].max() / expected["test"]
    assert dense["test_accuracy"] > chance - 0.15
    ticket = load_ticket(folder / "tickets" / "imp-1-0")
    assert ticket.params["head"]["kernel"].shape == (64, 3)
    assert ticket.meta["model"]["num_classes"] == 3
