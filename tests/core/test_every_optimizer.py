"""Whatever Optax trains with, what is pruned is and stays exactly zero."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxticket.core.gradual import gradual
from jaxticket.core.masks import apply_mask, count, full_mask
from jaxticket.core.optax import keep_pruned, mask_of
from jaxticket.core.paths import path_string
from jaxticket.core.schedules import linear

pytestmark = [pytest.mark.feature("pruning in Optax")]

RANDOM = np.random.default_rng(0)
PARAMS = {
    "fc1": {"kernel": jnp.asarray(RANDOM.standard_normal((8, 6)), jnp.float32), "bias": jnp.ones(6, jnp.float32)},
    "head": {"kernel": jnp.asarray(RANDOM.standard_normal((6, 4)), jnp.float32)},
}
SIZE = 48
INPUTS = jnp.asarray(RANDOM.standard_normal((16, 8)), jnp.float32)
TARGETS = jnp.asarray(RANDOM.standard_normal((16, 4)), jnp.float32)


@pytest.fixture(autouse=True)
def _standard_promotion():
    """Optax itself mixes dtypes (`decay ** count`)."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@jax.jit
@jax.grad
def gradient(params) -> jax.Array:
    hidden = jnp.tanh(INPUTS @ params["fc1"]["kernel"] + params["fc1"]["bias"][None])
    return jnp.mean((hidden @ params["head"]["kernel"] - TARGETS) ** 2)


def walk(tx, steps: int, params=PARAMS):
    """Parameters and states after every step, without `jit`: a program for every optimizer would take minutes."""
    state = tx.init(params)
    for _ in range(steps):
        updates, state = tx.update(gradient(params), state, params)
        params = optax.apply_updates(params, updates)
        yield jax.device_get((params, state))


def assert_invariant(params, state, mask) -> None:
    """What is pruned is exactly zero in the parameters and in every part of the state that belongs to them."""
    for key, leaf in jax.tree_util.tree_flatten_with_path((params, state))[0]:
        place = path_string(key)
        for path, kept in mask.items():
            if place.endswith(path) and np.shape(leaf) == kept.shape and leaf.dtype != bool:
                assert not leaf[~kept].any(), place


NOT_OPTIMIZERS = {
    "scale_by_learning_rate": "a factor, not an optimizer",
    "scale_by_rprop": "a part of rprop",
    "scale_by_madgrad": "a part of madgrad",
    "optimistic_adam": "deprecated in favour of optimistic_adam_v2, and warns",
    "lbfgs": "its line search needs value, grad and value_fn",
    "momo": "its step size needs the value of the loss",
    "momo_adam": "its step size needs the value of the loss",
    "sophia": "its Hessian needs the loss as obj_fn",
    "dpsgd": "needs one gradient per example",
    "schedule_free": "a wrapper; schedule_free_sgd and schedule_free_adamw are here",
}
STRONG = {"momentum": 0.9, "weight_decay": 0.1, "weight_decay_rate": 0.1, "key": 0}


def found() -> dict:
    """Every public function of Optax and its contributions that takes a learning rate, by name."""
    named = inspect.getmembers(optax.contrib, inspect.isfunction) + inspect.getmembers(optax, inspect.isfunction)
    return {
        name: make
        for name, make in named
        if not name.startswith("_") and "learning_rate" in inspect.signature(make).parameters
    }


OPTIMIZERS = {name: make for name, make in found().items() if name not in NOT_OPTIMIZERS}


def create(name: str) -> optax.GradientTransformation:
    """With momentum and weight decay, where it has them; else with decay that the moments feel."""
    make = OPTIMIZERS[name]
    options = {option: value for option, value in STRONG.items() if option in inspect.signature(make).parameters}
    own = inspect.signature(make).parameters["learning_rate"].default  # those that find their own step size have 1
    tx = make(learning_rate=own if isinstance(own, float) else 0.02, **options)
    decays = any(option.startswith("weight_decay") for option in options)
    return tx if decays else optax.chain(optax.add_decayed_weights(0.1), tx)


def test_the_optimizers_are_those_of_optax() -> None:
    assert {"sgd", "adam", "adamw", "lamb", "lars", "lion", "rmsprop", "sm3", "adafactor", "muon"} <= set(OPTIMIZERS)
    assert len(OPTIMIZERS) >= 26
    assert set(NOT_OPTIMIZERS) <= set(found()), "an exception that is none any more"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_keeps_the_invariant(name) -> None:
    schedule = linear(1, 8, 0.0, 0.75)
    before = full_mask(PARAMS)
    for t, (params, state) in enumerate(walk(gradual(create(name), schedule), 10)):
        mask = mask_of(state)
        assert count(mask) == (SIZE - round(schedule(t) * SIZE), SIZE)
        assert_invariant(params, state, mask)
        assert not any((kept & ~before[path]).any() for path, kept in mask.items()), "nothing comes back"
        before = mask
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))

    moved = np.zeros((8, 6), bool)
    for params, state in walk(keep_pruned(create(name), before), 10, apply_mask(PARAMS, before)):
        jax.tree.map(np.testing.assert_array_equal, mask_of(state), before)
        assert_invariant(params, state, before)
        moved |= params["fc1"]["kernel"] != np.asarray(PARAMS["fc1"]["kernel"])
    assert moved[before["fc1/kernel"]].all(), "kept weights are trained"
