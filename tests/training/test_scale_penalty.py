import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.training.options import TrainOptions
from jaxticket.training.state import Weights
from jaxticket.training.trainer import Trainer
from tests.train_one import train_one

pytestmark = [pytest.mark.feature("training")]

SCALES = np.array([0.5, -0.2, 0.0], np.float32)


def trained(dataset, network, start, mask, keys, **options):
    """A network whose normalisation has no part in the loss."""

    def apply(params, model_state, images, *, train):
        logits, model_state = network(params, model_state, images, train=train)
        # The same for every class, so that logits move and the loss does not.
        return logits + params["norm"]["scale"].sum() + params["norm"]["bias"].sum(), model_state

    extended = {**start.params, "norm": {"scale": SCALES, "bias": SCALES}}
    # An epoch is a step: all are evaluated once.
    options = TrainOptions(epochs=0, batch_size=70, eval_epochs=options["steps"], **options)
    return train_one(Trainer(apply, dataset, options), Weights(extended, start.model_state), mask, keys).last.params


def test_early_bird_check_7_l1_of_scales_enters_the_gradient(dataset, network, start, mask, keys):
    """One step of plain SGD at rate 1: the scale moves by `s * sign`, zero stays, the bias stays."""
    for strength in (1e-4, 0.01):
        params = trained(dataset, network, start, mask, keys, steps=1, lr=1.0, momentum=0.0, bn_l1=strength)
        np.testing.assert_allclose(params["norm"]["scale"], SCALES - strength * np.sign(SCALES), atol=1e-6)
        np.testing.assert_allclose(params["norm"]["bias"], SCALES, atol=1e-6)


@pytest.mark.parametrize(
    ("strength", "expected"),
    [(1e-5, 0.443341), pytest.param(1e-4, 0.358352, marks=pytest.mark.deep), (0.01, 0.000558)],
)
def test_early_bird_check_7_a_thousand_steps(dataset, network, start, mask, keys, strength, expected):
    """The usual strength shrinks a scale, a hundredth erases it."""
    options = {"steps": 1000, "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "bn_l1": strength}
    scale = trained(dataset, network, start, mask, keys, **options)["norm"]["scale"]
    assert float(jnp.abs(scale[0])) == pytest.approx(expected, abs=2e-4 if strength == 0.01 else 2e-6)
