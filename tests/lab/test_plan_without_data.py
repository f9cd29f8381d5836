"""A plan needs sizes and shapes, not data; and parts of the classes of streamed data are trained like any others."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest

from jaxticket.core.errors import DataError
from jaxticket.data import registry, streaming
from jaxticket.experiments import default_config, make_plan, resolve, run_experiment
from jaxticket.experiments.colt.recipes import apply_colt_recipe
from jaxticket.main import main

pytestmark = [pytest.mark.feature("data sets")]

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(autouse=True)
def nothing_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("JAXTICKET_DATA", raising=False)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("colt.py:model=resnet20,dataset=cifar100", "data: 45,000 training, 5,000 validation"),
        ("colt.py:model=resnet20,dataset=imagenet2012", "data: 1,153,050 training"),
        ("transfer.py:model=conv3,dataset=cifar10 --config.data.part=1/2", "data: about 22,500 training, 2,500 valid"),
        ("sanity.py:model=conv3,dataset=cifar10", "data: 50,000 training, 0 validation"),
    ],
)
def test_plans_of_data_that_is_not_here(arguments, said, tmp_path, capsys):
    config, *more = arguments.split()
    assert main([f"--config={CONFIGS / config}", *more, f"--workdir={tmp_path}/runs", "--dry_run"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert said in told
    assert ("sizes of parts are estimated" in told) == ("sanity" not in config)
    assert "data to get: " in told
    assert "is not on this machine: " in told
    assert "jaxticket data prepare" in told
    assert not (tmp_path / "runs").exists()


def test_plan_with_data_goes_by_its_labels(tmp_path, capsys):
    assert main([f"--config={CONFIGS}/colt.py", f"--workdir={tmp_path}", "--dry_run"]) == 0
    told = capsys.readouterr().out
    assert "estimated" not in told
    assert "data to get" not in told


class Coloured:
    """PNG files of one colour each, which is that of the label."""

    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def label(self, row):
        return int(self.labels[row])

    def __getitem__(self, row):
        from PIL import Image

        file = io.BytesIO()
        label = self.label(row)
        Image.new("RGB", (40, 40), (25 * label, 255 - 25 * label, 40 * (label % 5))).save(file, "PNG")
        return file.getvalue(), label


def test_colt_on_streamed_data(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    labels = {name: rng.permutation(np.arange(size) % 10) for name, size in (("train", 80), ("test", 30))}
    spec = dataclasses.replace(
        registry.spec("cifar10"), train_size=80, test_size=30, stream=True, mean=(0.5,) * 3, std=(0.25,) * 3
    )
    registry.DATASETS.replace(spec)
    config = default_config("colt")
    apply_colt_recipe(config, "lenet300", "cifar10")
    config.target, config.rounds, config.lth, config.data.folder = 0.0, 1, False, str(tmp_path / "data")
    config.train.update(epochs=2, batch_size=8, milestones=(), schedule="constant", warmup_epochs=0.0)
    config.data.augment.update(rotation=0.0, flip=False, crop_padding=0)
    with config.unlocked():
        config.model.options["width"] = 0.1
    options = resolve(config)
    assert make_plan(*options, tmp_path).sizes_are_estimated
    with pytest.raises(DataError, match="is not on this machine"):
        run_experiment(*options, tmp_path)
    monkeypatch.setattr(streaming, "find_prepared", lambda spec, folder: folder)
    monkeypatch.setattr(streaming, "prepared_source", lambda spec, prepared, split: Coloured(labels[split]))
    _, summary = run_experiment(*options, tmp_path)
    parts = {(row["level"], row["part"]): row for row in summary["rows"] if row["branch"] == "colt_part"}
    assert set(parts) == {(0, 1), (0, 2), (1, 1), (1, 2)}
    assert parts[1, 1]["kept"] == parts[1, 2]["kept"] < parts[0, 1]["kept"]
    assert [row["level"] for row in summary["rows"] if row["branch"] == "colt"] == [1]
    assert not make_plan(*options, tmp_path).sizes_are_estimated
