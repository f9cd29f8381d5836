"""A given network through an experiment: evaluated, pruned, recalibrated."""

import pytest

from jaxticket import storage
from jaxticket.core import paths
from jaxticket.lab.stages.references import read_weights
from tests.small import refused, run

pytestmark = [pytest.mark.feature("tickets and given weights")]

NETWORK = {"model.name": "conv3", "model.options": {"width": 0.125}, "train.batch_size": 256}
ONESHOT = NETWORK | {"retrain": "finetune", "sparsities": (0.7,), "seeds": (0,)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The file of a network that is trained enough to lose something."""
    folder = tmp_path_factory.mktemp("trained")
    (row,) = run(folder, "train", **NETWORK, **{"train.epochs": 4})[1]
    weights = read_weights(folder / "stages" / row["stage"] / "last.safetensors")
    state = {f"model_state/{path}": leaf for path, leaf in paths.leaves(weights.model_state).items()}
    params = {f"params/{path}": leaf for path, leaf in paths.leaves(weights.params).items()}
    storage.save_arrays(folder / "a.safetensors", {**params, **state})
    return str(folder / "a.safetensors"), row


def test_given_network_is_evaluated_pruned_and_recalibrated(trained, tmp_path):
    file, row = trained
    _, (dense, pruned), _ = run(tmp_path, "oneshot", **ONESHOT, dense=file, recalibrate_images=1000)
    assert dense["test_accuracy"] == pytest.approx(row["test_accuracy"], abs=1e-6)
    assert dense["epochs"] == pruned["epochs"] == 0
    assert pruned["test_accuracy"] == pruned["test_accuracy_recalibrated"]
    assert dense["test_accuracy"] >= pruned["test_accuracy_recalibrated"] > pruned["test_accuracy_pruned"] + 0.04
    tuned = run(tmp_path, "oneshot", **ONESHOT, dense=file, recalibrate_images=1000, finetune_epochs=1)[1][1]
    assert tuned["test_accuracy_recalibrated"] == pruned["test_accuracy"]
    assert tuned["epochs"] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recalibrate_images": 2000}, "config.recalibrate_images=2000: must be at most the 1293 training images"),
        ({"recalibrate_images": -1}, "config.recalibrate_images=-1"),
        ({"recalibrate_images": 9, "retrain": "rewind"}, "config.recalibrate_images=9: only read with retrain"),
        (
            {"recalibrate_images": 9, "model.name": "lenet300", "model.options": {}},
            "config.recalibrate_images=9: lenet300 has no running statistics",
        ),
    ],
)
def test_what_cannot_be_recalibrated_is_one_line(tmp_path, changes, message):
    refused(tmp_path, "oneshot", message, **(ONESHOT | changes))
