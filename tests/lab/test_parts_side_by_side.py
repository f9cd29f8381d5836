"""Partitions side by side: the same stages and masks as one after the other, alone or with the seeds."""

import pytest

import jaxticket as jt
from jaxticket.core import paths
from jaxticket.experiments import default_config, resolve, run_experiment
from jaxticket.lab import requests
from jaxticket.lab.stages.references import read_weights
from jaxticket.parallel import OnePerDevice, Vmapped

pytestmark = [pytest.mark.feature("seeds and devices side by side")]


def options_of(**changes):
    config = default_config("colt")
    config.rates, config.lth, config.evaluate, config.rounds = (("dense", 0.15),), False, False, 2
    config.train.update(epochs=2, batch_size=128, lr=0.1)
    config.data.val_fraction = 0.0
    with config.unlocked():
        config.update_from_flattened_dict(changes)
    return resolve(config)


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("serial")
    return workdir, *run_experiment(*options_of(seed_parallelism="serial", seeds=(3, 1)), workdir)


@pytest.mark.parametrize(("way", "seeds"), [("devices", (3,)), ("vmap", (3,)), ("vmap", (3, 1))])
def test_parts_side_by_side_equal_parts_in_turn(serial, tmp_path, monkeypatch, way, seeds):
    """Same masks on two devices as one after the other; with several seeds all their parts are trained at once."""
    groups = []
    train = requests.train_runs
    monkeypatch.setattr(
        requests,
        "train_runs",
        lambda trainer, specs, **k: (
            groups.append((len(specs), type(trainer.layout), trainer.own_data)) or train(trainer, specs, **k)
        ),
    )
    workdir, folder, summary = serial
    found, same = run_experiment(*options_of(seed_parallelism=way, seeds=seeds), tmp_path)
    layout = {"vmap": Vmapped, "devices": OnePerDevice}[way]
    assert groups == [(2 * len(seeds), layout, True)] * 3
    expected = {(row["seed"], row["level"], row["part"]): row for row in summary["rows"]}
    assert [row["seed"] for row in same["rows"]] == [seed for seed in seeds for _ in range(6)]
    for row in same["rows"]:
        other = expected[row["seed"], row["level"], row["part"]]
        assert (row["stage"].split("-")[0], row["kept"]) == ("train", other["kept"])
        assert row["test_accuracy"] == pytest.approx(other["test_accuracy"], abs=0.006)
        ours, theirs = (
            paths.leaves(read_weights(place / "stages" / one["stage"] / "last.safetensors").params)
            for place, one in ((tmp_path, row), (workdir, other))
        )
        for path, leaf in theirs.items():
            assert abs(ours[path] - leaf).max() < 1e-4
    for ticket in (found / "tickets").iterdir():
        ours, theirs = (jt.load_ticket(place / "tickets" / ticket.name).mask for place in (found, folder))
        assert all((ours[path] == theirs[path]).all() for path in theirs)
