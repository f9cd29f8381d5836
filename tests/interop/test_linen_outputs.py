"""What the layers of a Linen network give out, and the slope of a loss in it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxticket.core.errors import MaskError
from jaxticket.interop import layer_outputs, output_gradients

pytestmark = [pytest.mark.feature("other frameworks")]

X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 4, 2)), jnp.float32)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = nn.Conv(5, (3, 3), name="zconv")(x)
        return nn.Dense(4, name="dense")(nn.relu(y).mean((1, 2)))


class Twice(nn.Module):
    @nn.compact
    def __call__(self, x):
        dense = nn.Dense(2, name="dense")
        return dense(dense(x))


def variables_of(net):
    return jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1), jax.eval_shape(net.init, jax.random.key(0), X))


def test_outputs_are_before_activation_in_call_order():
    net = Net()
    variables = variables_of(net)
    found = layer_outputs(net.apply, variables, X, ["dense/kernel", "zconv/kernel"])
    assert list(found) == ["zconv/kernel", "dense/kernel"]
    assert found["zconv/kernel"].shape == (3, 4, 4, 5)
    assert (found["zconv/kernel"] < 0).any()
    logits: Any = net.apply(variables, X)
    assert np.array_equal(found["dense/kernel"], logits)
    assert list(layer_outputs(net.apply, variables, X, ["zconv/kernel"])) == ["zconv/kernel"]


def test_slopes_are_the_gradient_in_the_outputs():
    net = Net()
    variables = variables_of(net)
    outputs, slopes = output_gradients(
        net.apply, variables, X, ["dense/kernel", "zconv/kernel"], lambda y: (y**2).sum()
    )
    np.testing.assert_allclose(slopes["dense/kernel"], 2 * outputs["dense/kernel"], rtol=1e-6)
    back = slopes["dense/kernel"] @ variables["params"]["dense"]["kernel"].T  # through the mean over 16 positions
    expected = np.where(outputs["zconv/kernel"] > 0, back[:, None, None] / 16, 0)
    np.testing.assert_allclose(slopes["zconv/kernel"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("net", "paths", "message"),
    [
        (Net(), ["dense/kernel", "conv/kernel"], "'conv/kernel' is no kernel .* found dense/kernel"),
        (Net(), ["dense/bias"], "found none of those asked for"),
        (Twice(), ["dense/kernel"], "'dense/kernel' is called more than once"),
    ],
)
def test_layers_that_have_no_output_are_one_line(net, paths, message):
    with pytest.raises(MaskError, match=message) as error:
        layer_outputs(net.apply, variables_of(net), X, paths)
    assert "\n" not in str(error.value)
