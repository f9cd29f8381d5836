import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxticket.core.errors import MaskError
from jaxticket.core.gradual import gradual
from jaxticket.core.masks import apply_mask
from jaxticket.core.optax import KeepPrunedState, keep_pruned, mask_of, masked_update
from jaxticket.core.paths import leaves, path_string
from jaxticket.core.schedules import linear

pytestmark = [pytest.mark.feature("pruning in Optax")]

RANDOM = np.random.default_rng(0)
PARAMS = {
    "fc1": {
        "kernel": jnp.asarray(RANDOM.standard_normal((8, 6)), jnp.float32),
        "bias": jnp.ones(6, jnp.float32),
    },
    "head": {"kernel": jnp.asarray(RANDOM.standard_normal((6, 4)), jnp.float32)},
}
MASK = {"fc1/kernel": jnp.asarray(RANDOM.random((8, 6)) < 0.4)}
PRUNED = ~np.asarray(MASK["fc1/kernel"])
INPUTS = jnp.asarray(RANDOM.standard_normal((16, 8)), jnp.float32)
TARGETS = jnp.asarray(RANDOM.standard_normal((16, 4)), jnp.float32)


@pytest.fixture(autouse=True)
def _standard_promotion():
    """Optax itself mixes dtypes (`decay ** count`)."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def loss(params) -> jax.Array:
    hidden = jnp.tanh(INPUTS @ params["fc1"]["kernel"] + params["fc1"]["bias"][None])
    return jnp.mean((hidden @ params["head"]["kernel"] - TARGETS) ** 2)


def coupled(tx) -> optax.GradientTransformation:
    return optax.chain(optax.add_decayed_weights(1e-2), tx)


LABELS = {"fc1": {"kernel": "a", "bias": "b"}, "head": {"kernel": "b"}}
OPTIMIZERS = {
    "sgd": lambda: coupled(optax.sgd(0.1, 0.9)),
    "nesterov": lambda: coupled(optax.sgd(0.1, 0.9, nesterov=True)),
    "adam": lambda: coupled(optax.adam(0.01)),
    "adam without eps": lambda: optax.adam(0.01, eps=0.0),
    "adamw": lambda: optax.adamw(0.01),
    "nadamw": lambda: optax.nadamw(0.01),
    "amsgrad": lambda: optax.amsgrad(0.01),
    "adamax": lambda: optax.adamax(0.01),
    "adabelief": lambda: optax.adabelief(0.01),
    "adan": lambda: optax.adan(0.01),
    "radam": lambda: optax.radam(0.01),
    "yogi": lambda: optax.yogi(0.01),
    "novograd": lambda: optax.novograd(0.01),
    "lamb": lambda: optax.lamb(0.01, weight_decay=0.1),
    "lars": lambda: optax.lars(0.1, 0.01),
    "lion": lambda: optax.lion(0.01),
    "rmsprop": lambda: coupled(optax.rmsprop(0.01, momentum=0.9, centered=True, initial_scale=1.0)),
    "rprop": lambda: optax.rprop(0.01),
    "adagrad": lambda: optax.adagrad(0.1),
    "adadelta": lambda: optax.adadelta(0.1, weight_decay=0.1),
    "adafactor": lambda: optax.adafactor(0.1),
    "sm3": lambda: optax.sm3(0.01, 0.9),
    "noise": lambda: optax.chain(optax.sgd(0.01), optax.add_noise(0.01, 0.55, key=0)),
    "muon": lambda: optax.contrib.muon(0.01),
    "schedule_free": lambda: optax.contrib.schedule_free_sgd(0.1),
    "clipped": lambda: optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.01)),
    "inject_hyperparams": lambda: optax.inject_hyperparams(optax.adamw)(learning_rate=0.01),
    "apply_if_finite": lambda: optax.apply_if_finite(optax.adam(0.01), 3),
    "MultiSteps": lambda: optax.MultiSteps(optax.adam(0.01), 2).gradient_transformation(),
    "multi_transform": lambda: optax.multi_transform({"a": optax.adam(0.01), "b": optax.sgd(0.1, 0.9)}, LABELS),
    "masked": lambda: optax.masked(optax.adamw(0.01), jax.tree.map(lambda p: p.ndim > 1, PARAMS)),
}
WRAPPERS = {
    "apply_if_finite(keep_pruned)": lambda: optax.apply_if_finite(keep_pruned(optax.adam(0.01), MASK), 3),
    "MultiSteps(keep_pruned)": lambda: optax.MultiSteps(
        keep_pruned(optax.adam(0.01), MASK), 2
    ).gradient_transformation(),
    "chain(keep_pruned)": lambda: optax.chain(optax.clip(0.1), keep_pruned(optax.adamw(0.01), MASK)),
}
EVERY = {name: lambda make=make: keep_pruned(make(), MASK) for name, make in OPTIMIZERS.items()} | WRAPPERS


def like_kernel(state) -> dict[str, np.ndarray]:
    """The float leaves of a state that have the masked kernel's shape."""
    return {
        path_string(key): np.asarray(leaf)
        for key, leaf in jax.tree_util.tree_flatten_with_path(state)[0]
        if np.shape(leaf) == PRUNED.shape and np.asarray(leaf).dtype != bool
    }


def train(tx, params, steps: int):
    @jax.jit
    def step(params, state):
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return params, state


@pytest.mark.parametrize("name", EVERY)
def test_sanity_check_lth_9_and_early_bird_16_pruned_stays_zero(name) -> None:
    start = apply_mask(PARAMS, MASK)
    tx = EVERY[name]()
    for moment, value in like_kernel(tx.init(start)).items():
        assert not value[PRUNED].any(), moment
    params, state = train(tx, start, 50)
    assert not np.asarray(params["fc1"]["kernel"])[PRUNED].any()
    for moment, value in like_kernel(state).items():
        assert not value[PRUNED].any(), moment
    kept = np.asarray(params["fc1"]["kernel"] != start["fc1"]["kernel"])[~PRUNED]
    assert kept.all(), "kept weights are trained"
    assert np.isfinite(float(loss(params)))
    np.testing.assert_array_equal(mask_of(state)["fc1/kernel"], MASK["fc1/kernel"])


@pytest.mark.parametrize("name", ["adam", "rmsprop", "schedule_free", "multi_transform", "MultiSteps"])
def test_moments_of_the_kernel_are_found_in_state(name) -> None:
    """Or the test above would check nothing."""
    assert like_kernel(EVERY[name]().init(PARAMS))


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb", "clipped", "muon"])
def test_gradient_of_a_pruned_weight_is_not_felt(name) -> None:
    tx = OPTIMIZERS[name]()
    params = apply_mask(PARAMS, MASK)
    grads = jax.grad(loss)(params)
    results = []
    for noise in (0.0, 1e3):
        noisy = grads | {"fc1": grads["fc1"] | {"kernel": grads["fc1"]["kernel"] + noise * PRUNED}}
        results.append(masked_update(tx, noisy, tx.init(params), params, MASK))
    jax.tree.map(np.testing.assert_array_equal, *results)


def test_a_full_mask_changes_nothing() -> None:
    mask = {"fc1/kernel": jnp.ones((8, 6), bool)}
    found, _ = train(keep_pruned(optax.adamw(0.01), mask), PARAMS, 5)
    expected, _ = train(optax.adamw(0.01), PARAMS, 5)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), found, expected)


def test_the_mask_is_data_in_the_state() -> None:
    tx = keep_pruned(optax.sgd(0.1, 0.9), MASK)
    state = tx.init(PARAMS)
    compilations = 0

    @jax.jit
    def update(grads, state):
        nonlocal compilations
        compilations += 1
        return tx.update(grads, state)

    for kept in (MASK["fc1/kernel"], ~MASK["fc1/kernel"]):
        updates, _ = update(PARAMS, state._replace(mask={"fc1/kernel": kept}))
        np.testing.assert_array_equal(updates["fc1"]["kernel"] != 0, kept)
    assert compilations == 1


def test_state_may_be_donated_and_callers_mask_stays() -> None:
    tx = keep_pruned(optax.sgd(0.1, 0.9), MASK)
    step = jax.jit(lambda grads, state: tx.update(grads, state)[1], donate_argnums=1)
    step(PARAMS, tx.init(PARAMS))
    assert int(MASK["fc1/kernel"].sum()) == int((~PRUNED).sum())


def test_extra_arguments_reach_the_optimizer() -> None:
    def update(updates, state, params=None, *, factor, **extra):
        return jax.tree.map(lambda u: factor * u, updates), state

    tx = keep_pruned(optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update), MASK)
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS, factor=3.0)
    np.testing.assert_allclose(updates["head"]["kernel"], 3 * PARAMS["head"]["kernel"])
    # An optimizer that takes none ignores them.
    plain = keep_pruned(optax.sgd(0.1), MASK)
    plain.update(PARAMS, plain.init(PARAMS), PARAMS, factor=3.0)


def test_moment_belongs_to_longest_path_it_ends_with() -> None:
    params = {"kernel": jnp.ones((2, 2)), "block": {"kernel": jnp.ones((2, 2))}}
    mask = {"kernel": jnp.zeros((2, 2), bool)}
    tx = optax.sgd(0.1, 0.9)
    _, state = masked_update(tx, params, tx.init(params), params, mask)
    trace = leaves(state[0].trace)
    assert not trace["kernel"].any()
    assert trace["block/kernel"].all()


def test_any_tree_of_parameters_is_served() -> None:
    params = nnx.State({"fc": {"kernel": nnx.Param(jnp.ones((2, 2)))}})
    kept = jnp.array([[True, False], [False, True]])
    tx = keep_pruned(optax.adabelief(0.1), {"fc/kernel": kept})
    updates, state = tx.update(params, tx.init(params), params)
    np.testing.assert_array_equal(updates["fc"]["kernel"].get_value() != 0, kept)
    np.testing.assert_array_equal(state.inner[0].nu["fc"]["kernel"].get_value() != 0, kept)


def test_replicates_may_be_vmapped_each_with_its_mask() -> None:
    tx = keep_pruned(optax.sgd(0.1, 0.9), MASK)
    state = tx.init(PARAMS)
    both = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), (PARAMS, state))
    both[1].mask["fc1/kernel"] = jnp.stack([MASK["fc1/kernel"], ~MASK["fc1/kernel"]])
    updates, _ = jax.vmap(tx.update)(*both)
    np.testing.assert_array_equal(updates["fc1"]["kernel"] != 0, both[1].mask["fc1/kernel"])


def test_optax_can_map_over_the_states_parameters() -> None:
    tx = keep_pruned(optax.adam(0.1), MASK)
    mapped = optax.tree_map_params(tx, lambda leaf: leaf.shape, tx.init(PARAMS))
    assert mapped.inner[0].mu["fc1"]["kernel"] == (8, 6)
    np.testing.assert_array_equal(mapped.mask["fc1/kernel"], MASK["fc1/kernel"])


def test_mask_of_finds_the_mask_of_gradual_too() -> None:
    tx = optax.chain(optax.clip(1.0), optax.apply_if_finite(gradual(optax.adam(0.1), linear(0, 9, 0.0, 0.5)), 3))
    np.testing.assert_array_equal(mask_of(tx.init(PARAMS))["fc1/kernel"], np.ones((8, 6), bool))


def test_mask_of_needs_exactly_one_mask() -> None:
    with pytest.raises(MaskError, match="0 masks"):
        mask_of(optax.sgd(0.1).init(PARAMS))
    with pytest.raises(MaskError, match="2 masks"):
        mask_of(gradual(keep_pruned(optax.sgd(0.1), MASK), linear(0, 9, 0.0, 0.5)).init(PARAMS))
    with pytest.raises(MaskError, match="2 masks"):
        mask_of((KeepPrunedState(MASK, ()), KeepPrunedState(MASK, ())))


def test_a_mask_that_does_not_fit_is_named() -> None:
    tx = keep_pruned(optax.sgd(0.1), {"fc2/kernel": MASK["fc1/kernel"]})
    with pytest.raises(MaskError, match="'fc2/kernel'"):
        tx.init(PARAMS)
