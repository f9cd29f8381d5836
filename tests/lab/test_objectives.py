"""Experiments on other targets than one class for each image, and with losses and metrics of one's own."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxticket import data
from jaxticket.core.errors import ConfigError
from jaxticket.main import main

pytestmark = [pytest.mark.feature("losses and metrics")]

OWN = """
import flax.linen as nn
import jax.numpy as jnp
import optax

import jaxticket as jt


class PerPixel(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, x):
        return nn.Conv(self.num_classes, (1, 1), name="head")(nn.relu(nn.Conv(4, (3, 3), name="conv")(x)))


def mean_loss(outputs, targets):
    return optax.sigmoid_binary_cross_entropy(outputs, targets).mean()


def each_loss(outputs, targets):
    return optax.sigmoid_binary_cross_entropy(outputs, targets)


def scored(params, mask, apply_fn, batches, loss_fn):
    assert abs(float(loss_fn(jnp.zeros((1, 3)), jnp.ones((1, 3)))) - 0.6931) < 1e-3
    return jt.snip(apply_fn, params, mask, batches, loss_fn=loss_fn)


def whole(outputs, targets):
    return ((outputs > 0) == (targets > 0.5)).all(-1)


def wrong(outputs, targets):
    return outputs[:1]


def broken(outputs, targets):
    return outputs @ jnp.ones((7, 7))
"""


def read_labels(spec, folder):
    """Whether a digit is even, above 4, and has a bright corner: float32 [N, 3]."""
    digits = data.load("digits", val_fraction=0)

    def split(found):
        bright = found.images[:, 0, 2, 0] > 0
        return data.Split(
            found.images, np.stack([found.labels % 2 == 0, found.labels > 4, bright], 1).astype(np.float32)
        )

    return {"train": split(digits.train), "test": split(digits.test)}


def read_pixels(spec, folder):
    """Whether a pixel is ink: int32 [N, 8, 8]."""
    digits = data.load("digits", val_fraction=0)
    return {
        name: data.Split(found.images, (found.images[..., 0] > 100).astype(np.int32))
        for name, found in (("train", digits.train), ("test", digits.test))
    }


@pytest.fixture(autouse=True)
def registered():
    sizes = {"version": "1.0.0", "image_shape": (8, 8, 1), "train_size": 1437, "test_size": 360}
    names = ("even", "large", "bright")
    data.register(
        data.DatasetSpec("digit_labels", class_names=names, sources=(read_labels,), targets="values", **sizes)
    )
    data.register(
        data.DatasetSpec(
            "digit_pixels", class_names=("paper", "ink"), sources=(read_pixels,), target_shape=(8, 8), **sizes
        )
    )


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    file = tmp_path_factory.mktemp("own") / "own.py"
    file.write_text(OWN)
    return file


def run(workdir: Path, config: str, *arguments: str) -> dict:
    before = set(workdir.glob("*/summary.json"))
    short = ("--config.train.epochs=1", f"--workdir={workdir}", "--config.seeds=(0,)")
    assert main([f"--config={config}", *short, *(f"--config.{argument}" for argument in arguments)]) == 0
    (summary,) = set(workdir.glob("*/summary.json")) - before
    return json.loads(summary.read_text())


LABELS = "configs/oneshot.py:model=lenet300,dataset=digit_labels"


def test_several_labels_by_registered_and_own_losses(tmp_path, own, capsys):
    """A loss that gives a mean, one that gives each, and the package's are one; the gradient criterion has it too."""
    how = ("sparsities=(0.8,)", f"train.metrics=('{own}:whole',)")
    choices = {"sigmoid_cross_entropy": "snip", f"{own}:mean_loss": f"{own}:scored", f"{own}:each_loss": "snip"}
    rows = {
        loss: run(tmp_path, LABELS, f"train.loss={loss}", f"prune.criterion={criterion}", *how)["rows"]
        for loss, criterion in choices.items()
    }
    first, mean, each = rows.values()
    assert [row["cached"] for row in (*mean, *each)] == [False] * 4
    for one, two, three in zip(first, mean, each, strict=True):
        for name in ("test_loss", "train_loss"):
            assert one[name] == pytest.approx(two[name], rel=1e-4) == pytest.approx(three[name], rel=1e-4)
        assert one["layer_sparsity"] == pytest.approx(two["layer_sparsity"], abs=1e-3)
        assert 0.5 < one["test_whole"] <= one["test_accuracy"] <= 1  # all labels of an image, each label
        assert two["test_accuracy"] < 1 or one["test_accuracy"] == 1  # R2, where a loss names no score
        assert one["test_accuracy_top5"] is None
    assert "what this run calls accuracy is r2" in capsys.readouterr().out
    again = run(tmp_path, LABELS, f"train.loss={own}:each_loss", "sparsities=(0.8,)", "prune.criterion=snip")["rows"]
    assert all(row["cached"] and "test_whole" not in row for row in again)  # a metric more trains nothing


def test_labels_of_pixels(tmp_path, own):
    config = f"configs/imp.py:model={own}:PerPixel,dataset=digit_pixels"
    dense, _ = run(
        tmp_path,
        config,
        "levels=1",
        "train.optimizer=adam",
        "train.lr=0.01",
        "data.augment.crop_padding=0",
        "data.augment.flip=False",
        "train.metrics=('accuracy_per_class',)",
    )["rows"]
    assert 0.8 < dense["test_accuracy"] <= 1
    assert len(dense["test_accuracy_per_class"]) == 2
    assert dense["test_accuracy_balanced"] == pytest.approx(np.mean(dense["test_accuracy_per_class"]))


MISTAKES = {
    (
        "digits",
        "train.loss=mean_squared_error",
    ): "is for numbers, and the targets of digits are classes; use cross_entropy",
    ("digits", "train.loss=mse"): "config.train.loss='mse': must be one of cross_entropy, ",
    ("digits", "train.score=r2"): "config.train.score='r2': is for numbers",
    ("digits", "train.score=accuracy_per_class"): "gives list; what decides must be one number",
    ("digits", "train.metrics=('accuracies',)"): "config.train.metrics",
    ("digits", "train.metrics=('OWN:nothing',)"): "there is no nothing in",
    ("digits", "train.metrics=('OWN:broken',)"): "broken': TypeError",
    ("digits", "train.loss=OWN"): "must be FILE.py:NAME",
    ("digits", "train.loss=nowhere.py:loss"): "there is no file",
    (
        "digit_labels",
        "train.loss=cross_entropy",
    ): "is for classes, and the targets of digit_labels are numbers; use mean_",
    ("digit_labels", "train.loss=OWN:wrong"): "gives shapes [(1, 3)] for 2 examples; must give one number",
    ("digit_labels", "train.metrics=('mean_absolute_error','accuracy')"): "metrics='accuracy': is for classes",
    (
        "digit_labels",
        "train.label_smoothing=0.1",
    ): "config.train.label_smoothing=0.1: smooths the labels of cross_entropy",
    (
        "digit_labels",
        "aids.label_smoothing=0.1",
    ): "config.aids.label_smoothing=0.1: smooths the labels of cross_entropy",
    ("digit_labels", "data.label_noise=0.1"): "images of digit_labels do not have one class each",
    ("digit_labels", "data.part=1/3"): "do not have one class each; use 'full'",
    ("digit_pixels", "data.augment.flip=True"): "would move the images of digit_pixels and not the labels",
    ("digit_pixels", "train.lr=0.1"): "gives logits [60, 2] for 60 images; must be [60, 8, 8, 2]",
}


@pytest.mark.parametrize(("where", "message"), MISTAKES.items(), ids=lambda one: "-".join(one)[:60])
def test_wrong_objectives_are_one_line(tmp_path, own, capsys, where, message):
    dataset, change = where
    arguments = [f"--config=configs/imp.py:model=lenet300,dataset={dataset}", f"--workdir={tmp_path / 'w'}"]
    if dataset == "digit_labels" and "loss" not in change:
        arguments.append("--config.train.loss=sigmoid_cross_entropy")
    assert main([*arguments, f"--config.{change.replace('OWN', str(own))}"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "w").exists()


def test_numbers_that_are_no_numbers_are_refused(monkeypatch):
    def damaged(spec, folder):
        splits = read_labels(spec, folder)
        splits["test"].labels[3] = np.nan
        return splits

    sizes = {"version": "1.0.0", "image_shape": (8, 8, 1), "train_size": 1437, "test_size": 360}
    data.register(data.DatasetSpec("nans", class_names=("a", "b", "c"), sources=(damaged,), targets="values", **sizes))
    with pytest.raises(Exception, match=r"nans .*'test'.*expected finite float32"):
        data.load("nans")
    with pytest.raises(ConfigError, match="targets='words'"):
        data.DatasetSpec("odd", class_names=("a",), sources=(), targets="words", **sizes)
