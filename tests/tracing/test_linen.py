import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxticket.tracing.linen import listen

pytestmark = [pytest.mark.feature("traced functions")]


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=True, name="norm")(nn.Dense(4, name="dense")(x))


class Network(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Conv(2, (1,), name="head")(inputs=Block(name="block")(x))


MODEL, X = Network(), jnp.ones((1, 3, 2))
VARIABLES = MODEL.init(jax.random.key(0), X)


def test_every_call_is_seen_with_its_path():
    seen = []

    def note(call):
        seen.append((call.path(), call.method, call.is_layer))
        return call.proceed()

    with listen(note):
        result = MODEL.apply(VARIABLES, X)
    calls = [(path, is_layer) for path, method, is_layer in seen if method == "__call__"]
    assert calls == [("", False), ("block", False), ("block/dense", True), ("block/norm", False), ("head", True)]
    np.testing.assert_array_equal(result, MODEL.apply(VARIABLES, X))


def test_inputs_are_found_by_position_and_by_name():
    given = {}

    def note(call):
        if call.is_layer:
            given[call.path("kernel")] = call.inputs.shape
        return call.proceed()

    with listen(note):
        MODEL.apply(VARIABLES, X)
    assert given == {"block/dense/kernel": (1, 3, 2), "head/kernel": (1, 3, 4)}


def test_a_listener_changes_results_and_arguments():
    def change(call):
        if call.path() == "block":
            return call.run(2 * call.inputs)
        return jnp.zeros((1, 3, 2)) + call.inputs.sum() if call.path() == "head" else call.proceed()

    with listen(change):
        result = MODEL.apply(VARIABLES, X)
    expected = Block().apply({name: tree["block"] for name, tree in VARIABLES.items() if "block" in tree}, 2 * X).sum()
    np.testing.assert_allclose(result, jnp.full((1, 3, 2), expected), rtol=1e-6)


def test_without_flax_there_is_nothing_to_hear(monkeypatch):
    monkeypatch.delitem(sys.modules, "flax.linen")
    with listen(lambda call: None):
        assert jnp.ones(()) == 1
