"""Running statistics measured anew: averages over the batches, whatever was there and whatever the momentum is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import jaxticket as jt
from jaxticket.core.errors import MaskError

pytestmark = [pytest.mark.feature("pruning library"), pytest.mark.smoke]


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(momentum=0.9, name="first")(x, use_running_average=not train)
        x = nn.BatchNorm(momentum=0.5, name="frozen")(x, use_running_average=True)
        return nn.BatchNorm(momentum=0.999, name="last")(2 * x + 1, use_running_average=not train)


def in_training(variables, x):
    return Net().apply(variables, x, True, mutable=["batch_stats"])


@pytest.fixture(scope="module")
def variables():
    found = Net().init(jax.random.key(0), jnp.ones((2, 3)), False)
    ready = {"mean": jnp.full(3, 1e4), "var": jnp.full(3, 1e-3)}
    frozen = {"mean": jnp.ones(3), "var": jnp.full(3, 4.0)}
    return {**found, "batch_stats": {**found["batch_stats"], "first": ready, "frozen": frozen}}


def test_statistics_become_averages_over_batches(variables):
    chance = np.random.default_rng(0)
    batches = [chance.normal(5, 3, (size, 3)).astype(np.float32) for size in (8, 8, 4)]
    found = jt.recalibrate(in_training, variables, [(x, None) for x in batches])
    weights = np.array([8, 8, 4]) / 20
    mean = sum(w * x.mean(0) for w, x in zip(weights, batches, strict=True))
    var = sum(w * x.var(0) for w, x in zip(weights, batches, strict=True))
    np.testing.assert_allclose(found["batch_stats"]["first"]["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(found["batch_stats"]["first"]["var"], var, rtol=1e-5)
    # The frozen one is (x - 1) / 2 of what the first one gives, which has mean 0 and variance 1; then comes 2 x + 1.
    np.testing.assert_allclose(found["batch_stats"]["last"]["mean"], np.zeros(3), atol=1e-3)
    np.testing.assert_allclose(found["batch_stats"]["last"]["var"], np.ones(3), rtol=1e-3)
    same = variables["batch_stats"]["frozen"], variables["params"]
    jax.tree.map(np.testing.assert_array_equal, (found["batch_stats"]["frozen"], found["params"]), same)


def evaluated(variables, x):
    return Net().apply(variables, x, False, mutable=["batch_stats"])


def counting(variables, x):
    return x, {
        "batch_stats": {
            **variables["batch_stats"],
            "first": {"mean": jnp.sin(variables["batch_stats"]["first"]["mean"])},
        }
    }


X = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("apply_fn", "batches", "message"),
    [
        (5, [X], "apply_fn is an int"),
        (in_training, 5, "batches is a int"),
        (in_training, [], "there are no batches"),
        (evaluated, [X], "apply_fn changes no running statistics; it must be in training mode"),
        (lambda variables, x: x, [X], "apply_fn must return outputs and the collections"),
        (counting, [X], "batch_stats/first/mean changes in training mode and is no running average"),
        (in_training, [X * np.nan], "is no running average|not finite"),
    ],
)
def test_what_cannot_be_measured_is_one_line(variables, apply_fn, batches, message):
    with pytest.raises(MaskError, match=message) as caught:
        jt.recalibrate(apply_fn, variables, batches)
    assert "\n" not in str(caught.value)
