"""Every network of the table trains a few steps on real colour images with the preset of its experiments."""

import dataclasses
import functools
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxticket import data, models
from jaxticket.core import masks, paths
from jaxticket.core.options import parse
from jaxticket.data import Split
from jaxticket.data.options import AugmentOptions
from jaxticket.experiments import default_config
from jaxticket.lab.presets import apply_preset
from jaxticket.training.options import TrainOptions
from jaxticket.training.run_spec import RunSpec
from jaxticket.training.state import Keys, MetricSums, Weights
from jaxticket.training.trainer import Trainer

pytestmark = [pytest.mark.feature("training")]

# One or two of each kind, quick to compile; the others take minutes.
QUICK = ("lenet300", "lenet5", "conv2", "conv3", "resnet20")
DEEP_MARKS = (pytest.mark.slow, pytest.mark.deep)
BATCH, STEPS = 4, 2


@pytest.fixture(scope="module")
def emoji(tmp_path_factory):
    spec = data.spec("emoji32")
    if not all(Path(archive.debian_path or spec.debian_folder).exists() for archive in spec.archives):
        pytest.skip(f"emoji32 needs the Debian packages {spec.debian_package}")
    dataset = data.load("emoji32", folder=tmp_path_factory.mktemp("data"), val_fraction=0)
    few = Split(np.asarray(dataset.train.images[: BATCH * STEPS]), np.asarray(dataset.train.labels[: BATCH * STEPS]))
    return dataclasses.replace(dataset, train=few)


def random_weights(model):
    """He-normal kernels from NumPy: compiling the initialisation of all networks would take as long as their steps."""
    rng = np.random.default_rng(0)

    def leaf(path, shape):
        if path.endswith(("scale", "var")):
            return np.ones(shape, np.float32)
        if len(shape) < 2:
            return np.zeros(shape, np.float32)
        return (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))).astype(np.float32)

    variables = models.abstract_variables(model, (32, 32, 3))
    return Weights(*(paths.nest({path: leaf(path, a.shape) for path, a in paths.leaves(v).items()}) for v in variables))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else DEEP_MARKS) for name in models.names()]
)
def test_trains_few_steps_with_mask_and_finite_loss(emoji, name):
    config = default_config("train")
    apply_preset(config, name, "emoji32")
    train = dataclasses.replace(parse(TrainOptions, config.train.to_dict()), batch_size=BATCH, lr=1e-3)
    augment = parse(AugmentOptions, config.data.augment.to_dict())
    model = models.create_model(name, emoji.num_classes)
    start = random_weights(model)
    trainer = Trainer(functools.partial(models.apply_model, model), emoji, train, augment)
    full = masks.full_mask(start.params)
    rng = np.random.default_rng(0)
    mask = {path: rng.random(kept.shape) < 0.5 for path, kept in full.items()}
    state, sums = trainer.begin([RunSpec(start, mask, Keys(jax.random.key(2), jax.random.key(1)))]), MetricSums.zero()
    epoch = trainer.data.epoch(jax.random.key(2), 0)
    for _ in range(STEPS):
        state, sums = trainer.run(state, sums, epoch, 1)
    assert int(sums.bad_step) == -1
    assert int(sums.count) == BATCH * STEPS
    assert np.isfinite(float(sums.loss))
    before, after = paths.leaves(start.params), paths.leaves(state.params)
    for path, leaf in after.items():
        leaf = np.asarray(leaf)
        assert np.isfinite(leaf).all()
        if path in mask:
            assert not leaf[~mask[path]].any()
    # Zero initial biases and all else but what a Transformer's first steps cannot reach have moved.
    moved = [path for path, leaf in after.items() if not np.array_equal(leaf, before[path])]
    assert len(moved) >= 0.95 * len(after)
