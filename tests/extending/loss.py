"""A loss and a metric of one's own: a network says how large a digit is, as a number between two of its quantiles.

jaxticket run --config=tests/extending/loss.py --workdir=runs
"""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket import data, training
from jaxticket.experiments import default_config
from jaxticket.lab.presets import apply_preset

QUANTILES = np.array([[0.1, 0.9]], np.float32)


def read_values(spec: data.DatasetSpec, folder: Path) -> Mapping[str, data.Split]:
    """The official splits of the digits with their values as targets: float32 [N, 2], the same for both outputs."""
    digits = data.load("digits", val_fraction=0)
    splits = {"train": digits.train, "test": digits.test}
    return {
        name: data.Split(split.images, np.repeat(split.labels[:, None], 2, axis=1).astype(np.float32))
        for name, split in splits.items()
        if isinstance(split, data.Split)
    }


def pinball(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """The pinball loss, which quantiles minimise: a scalar, the mean over a batch of outputs and targets [B, 2]."""
    missed = targets - outputs
    return jnp.maximum(QUANTILES * missed, (QUANTILES - 1) * missed).mean()


def covered(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Whether a target is between the two quantiles, bool [B]; a row has the share, 80 % if they are right."""
    return (outputs[:, 0] <= targets[:, 0]) & (targets[:, 0] <= outputs[:, 1])


data.register(
    data.DatasetSpec(
        name="digit_values",
        version="1.0.0",
        image_shape=(8, 8, 1),
        class_names=("10 %", "90 %"),
        train_size=1437,
        test_size=360,
        sources=(read_values,),
        targets="values",
    )
)
training.register_loss(training.Loss("pinball", pinball, targets="values"))
training.register_metric(training.Metric("covered", covered, targets="values"))


def get_config():
    config = default_config("imp")
    apply_preset(config, "lenet300", "digit_values")
    config.train.loss = "pinball"
    config.train.metrics = ("covered", "mean_absolute_error")
    return config
