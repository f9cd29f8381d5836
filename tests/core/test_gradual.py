import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxticket.core.criteria.magnitude import magnitude
from jaxticket.core.errors import MaskError
from jaxticket.core.gradual import gradual
from jaxticket.core.granularity import channel, n_of_m
from jaxticket.core.masks import apply_mask, count, full_mask, layer_sparsity
from jaxticket.core.optax import keep_pruned, mask_of
from jaxticket.core.paths import path_string
from jaxticket.core.prune import prune
from jaxticket.core.schedules import cubic, linear

pytestmark = [pytest.mark.feature("schedules and gradual pruning")]

RANDOM = np.random.default_rng(0)
PARAMS = {
    "fc1": {"kernel": jnp.asarray(RANDOM.standard_normal((24, 16)), jnp.float32), "bias": jnp.ones(16, jnp.float32)},
    "head": {"kernel": jnp.asarray(RANDOM.standard_normal((16, 4)), jnp.float32)},
}
SIZE = 24 * 16
DEEPER = PARAMS | {"fc2": {"kernel": jnp.asarray(RANDOM.standard_normal((16, 8)), jnp.float32)}}
INPUTS = jnp.asarray(RANDOM.standard_normal((16, 24)), jnp.float32)
TARGETS = jnp.asarray(RANDOM.standard_normal((16, 4)), jnp.float32)


@pytest.fixture(autouse=True)
def _standard_promotion():
    """Optax itself mixes dtypes (`decay ** count`)."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def loss(params) -> jax.Array:
    hidden = jnp.tanh(INPUTS @ params["fc1"]["kernel"] + params["fc1"]["bias"][None])
    return jnp.mean((hidden @ params["head"]["kernel"] - TARGETS) ** 2)


gradient = jax.jit(jax.grad(loss))


def one_step(tx, params, state):
    updates, state = tx.update(jax.grad(loss)(params), state, params)
    return optax.apply_updates(params, updates), state


def scanned(tx, steps: int):
    """Parameters and states after every step of one compiled scan; the leaves are [steps, ...]."""

    @jax.jit
    def run(params):
        def step(carry, _):
            carry = one_step(tx, *carry)
            return carry, carry

        return jax.lax.scan(step, (params, tx.init(params)), length=steps)[1]

    return jax.device_get(run(PARAMS))


def walk(tx, steps: int, params=PARAMS):
    """The same without `jit`, step by step: a program for every optimizer would take minutes to compile."""
    state = tx.init(params)
    for _ in range(steps):
        updates, state = tx.update(gradient(params), state, params)
        params = optax.apply_updates(params, updates)
        yield jax.device_get((params, state))


def history(tx, steps: int, params=PARAMS):
    """What `walk` gives, stacked."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *walk(tx, steps, params))


def pruned_counts(states) -> list[int]:
    """How many weights are pruned after every step."""
    return sum((~kept).reshape(len(kept), -1).sum(1) for kept in mask_of(states).values()).tolist()


def assert_invariant(params, state, mask) -> None:
    """What is pruned is exactly zero in the parameters and in every part of the state that belongs to them."""
    for key, leaf in jax.tree_util.tree_flatten_with_path((params, state))[0]:
        place = path_string(key)
        for path, kept in mask.items():
            if place.endswith(path) and np.shape(leaf) == kept.shape and leaf.dtype != bool:
                assert not leaf[~kept].any(), place


# --- the schedule ------------------------------------------------------------------------------------------------


def test_tost_3_cubic_schedule_is_followed_exactly_at_every_update() -> None:
    schedule = cubic(2, 18, 0.1, 0.9, 4)
    params, states = scanned(gradual(optax.adamw(0.05, weight_decay=0.1), schedule), 24)
    assert pruned_counts(states) == [round(schedule(t) * SIZE) for t in range(24)]
    assert len(set(pruned_counts(states))) == 5, "the start, three updates on the way, and the end"
    assert_invariant(params, states, mask_of(states))
    for kept in mask_of(states).values():
        assert not (kept[1:] & ~kept[:-1]).any(), "nothing comes back"


def test_weights_are_scored_only_where_the_schedule_rises() -> None:
    calls = []

    def scores(params, mask):
        jax.debug.callback(lambda: calls.append(True))
        return magnitude(params, mask)

    rising_and_falling = optax.join_schedules([cubic(0, 8, 0.1, 0.9, 4), optax.constant_schedule(0.5)], [12])
    tx = gradual(optax.sgd(0.1), rising_and_falling, scores=scores)
    _, states = scanned(tx, 16)
    jax.effects_barrier()
    assert len(calls) == 3, "at steps 0, 4 and 8"
    assert pruned_counts(states)[-1] == round(0.9 * SIZE)


@pytest.mark.parametrize(
    ("schedule", "density"),
    [
        (linear(0, 4, 0.0, 0.9), [1, 0.775, 0.55, 0.325, 0.1, 0.1]),
        (cubic(0, 4, 0.0, 0.9, 1), [1, 0.4796875, 0.2125, 0.1140625, 0.1, 0.1]),
    ],
)
def test_tost_3_linear_and_cubic_numbers(schedule, density) -> None:
    _, states = history(gradual(optax.sgd(0.1), schedule), 6)
    assert pruned_counts(states) == [round((1 - share) * SIZE) for share in density]


def test_tost_3_cubic_between_updates_holds_its_sparsity() -> None:
    tx = gradual(optax.sgd(0.1), cubic(100, 1100, 0.0, 0.9, 50))
    found = {}
    for t in (0, 99, 149, 150, 300, 599, 600, 1100, 5000):
        state = tx.init(PARAMS)._replace(step=jnp.asarray(t, jnp.int32))
        found[t] = count(mask_of(tx.update(PARAMS, state, PARAMS)[1]))[0]
    sparsities = [0, 0, 0, 0.128363, 0.4392, 0.750262, 0.7875, 0.9, 0.9]
    assert list(found.values()) == [SIZE - round(s * SIZE) for s in sparsities]


def test_schedule_of_optax_never_brings_weights_back() -> None:
    own = optax.join_schedules([optax.constant_schedule(share) for share in (0.25, 0.5, 0.125)], [2, 4])
    _, states = history(gradual(optax.sgd(0.1), own), 6)
    assert pruned_counts(states) == [SIZE // 4] * 2 + [SIZE // 2] * 4


# --- what goes ---------------------------------------------------------------------------------------------------


def test_the_lowest_of_the_updated_weights_go() -> None:
    grads = jax.tree.map(lambda leaf: jnp.asarray(RANDOM.standard_normal(leaf.shape), jnp.float32), DEEPER)
    tx = gradual(optax.sgd(1.0), lambda t: 0.5)
    updates, state = tx.update(grads, tx.init(DEEPER), DEEPER)
    trained = jax.tree.map(lambda p, g: p - g, DEEPER, grads)
    full = full_mask(DEEPER)
    expected = prune(full, {p: abs(trained[p.split("/")[0]]["kernel"]) for p in full}, sparsity=0.5)
    jax.tree.map(np.testing.assert_array_equal, mask_of(state), expected)
    found = optax.apply_updates(DEEPER, updates)
    jax.tree.map(np.testing.assert_array_equal, found, apply_mask(trained, expected))


def test_without_pruning_the_optimizer_is_the_same() -> None:
    found, _ = history(gradual(optax.adamw(0.01), linear(20, 30, 0.0, 0.5)), 5)
    expected, _ = history(optax.adamw(0.01), 5)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), found, expected)


def test_after_pruning_it_is_keep_pruned() -> None:
    """The same mask, parameters and moments from there on."""
    tx = gradual(optax.adamw(0.05), lambda t: jnp.where(t < 2, 0.0, 0.5))
    params, states = history(tx, 6)
    third = jax.tree.map(lambda leaf: leaf[2], (params, states))
    kept = keep_pruned(optax.adamw(0.05), mask_of(third[1]))
    state = third[1].pruned
    now = third[0]
    for step in (3, 4, 5):
        now, state = jax.jit(functools.partial(one_step, kept))(now, state)
        expected = jax.tree.map(lambda leaf, step=step: leaf[step], (params, states.pruned))
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7), (now, state), expected)


@pytest.mark.parametrize("scope", ["layer", "erk"])
def test_scopes_give_each_layer_its_share(scope) -> None:
    tx = gradual(optax.sgd(0.1), lambda t: 0.6, scope=scope)
    _, state = tx.update(DEEPER, tx.init(DEEPER), DEEPER)
    full = full_mask(DEEPER)
    ones = {path: jnp.ones(kept.shape, jnp.float32) for path, kept in full.items()}
    assert layer_sparsity(mask_of(state)) == layer_sparsity(prune(full, ones, sparsity=0.6, scope=scope))


def test_channels_scores_and_rules_of_ones_own() -> None:
    tx = gradual(
        optax.sgd(0.1),
        lambda t: 0.25,
        scores=lambda params, mask: {path: -jnp.abs(params["fc2"]["kernel"]) for path in mask},
        granularity=channel(pool="sum"),
        rules=[("fc2/.*", True), (".*", False)],
    )
    updates, state = tx.update(jax.tree.map(jnp.zeros_like, DEEPER), tx.init(DEEPER), DEEPER)
    (kept,) = mask_of(state).values()
    largest = np.argsort(np.abs(DEEPER["fc2"]["kernel"]).sum(0))[-2:]
    expected = ~np.isin(np.arange(8), largest)
    np.testing.assert_array_equal(kept, np.broadcast_to(expected, (16, 8)))
    np.testing.assert_array_equal(optax.apply_updates(DEEPER, updates)["fc2"]["kernel"] != 0, kept)


@pytest.mark.parametrize(("of_updates", "of_params"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_zero_is_exact_whatever_the_dtypes(of_updates, of_params) -> None:
    cast = optax.stateless(lambda updates, _: jax.tree.map(lambda leaf: leaf.astype(of_updates), updates))
    params = jax.tree.map(lambda leaf: leaf.astype(of_params), PARAMS)
    tx = gradual(optax.chain(optax.sgd(0.1), cast), lambda t: 0.5)
    updates, state = tx.update(params, tx.init(params), params)
    found = optax.apply_updates(params, updates)
    for path, kept in mask_of(state).items():
        weights = np.asarray(found[path.split("/")[0]]["kernel"])
        np.testing.assert_array_equal(weights != 0, kept)


# --- inside and around other adapters ----------------------------------------------------------------------------


def test_with_gradient_accumulation_steps_of_the_optimizer_count() -> None:
    schedule = linear(0, 4, 0.0, 0.8)
    tx = optax.MultiSteps(gradual(optax.adam(0.05), schedule), 3).gradient_transformation()
    params, states = scanned(tx, 15)
    steps_done = [t // 3 for t in range(1, 16)]
    assert pruned_counts(states) == [round(schedule(done - 1) * SIZE) if done else 0 for done in steps_done]
    last = jax.tree.map(lambda leaf: leaf[-1], (params, states))
    assert_invariant(*last, mask_of(last[1]))


def test_around_gradient_accumulation_batches_count() -> None:
    schedule = linear(0, 4, 0.0, 0.8)
    params, states = scanned(gradual(optax.MultiSteps(optax.adam(0.05), 3).gradient_transformation(), schedule), 6)
    assert pruned_counts(states) == [round(schedule(t) * SIZE) for t in range(6)]
    assert_invariant(params, states, mask_of(states))


def test_with_injected_hyperparameters_inside_and_outside() -> None:
    schedule = linear(0, 4, 0.0, 0.8)
    inside = gradual(optax.inject_hyperparams(optax.adamw)(learning_rate=0.05), schedule)
    outside = optax.inject_hyperparams(lambda learning_rate: gradual(optax.adamw(learning_rate), schedule))(
        learning_rate=0.05
    )
    results = [history(tx, 5) for tx in (inside, outside)]
    for params, states in results:
        assert pruned_counts(states) == [round(schedule(t) * SIZE) for t in range(5)]
        assert_invariant(params, states, mask_of(states))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), results[0][0], results[1][0])


def test_step_that_is_not_finite_does_not_count() -> None:
    tx = optax.apply_if_finite(gradual(optax.sgd(0.1), lambda t: 0.5), 3)
    bad = jax.tree.map(lambda leaf: leaf * np.nan, PARAMS)
    updates, state = jax.jit(tx.update)(bad, tx.init(PARAMS), PARAMS)
    assert count(mask_of(state)) == (SIZE, SIZE)
    assert not any(leaf.any() for leaf in jax.tree.leaves(updates))


def test_extra_arguments_reach_the_optimizer() -> None:
    def update(updates, state, params=None, *, factor, **extra):
        return jax.tree.map(lambda u: factor * u, updates), state

    inner = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    tx = gradual(inner, lambda t: 0.0)
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS, factor=3.0)
    np.testing.assert_allclose(updates["head"]["kernel"], 3 * PARAMS["head"]["kernel"])


def test_optax_can_map_over_the_states_parameters() -> None:
    tx = gradual(optax.adam(0.1), lambda t: 0.5)
    state = tx.init(PARAMS)
    shapes = jax.tree.map(np.shape, PARAMS, is_leaf=lambda leaf: hasattr(leaf, "shape"))
    mapped = optax.tree_map_params(tx, lambda leaf, like: (leaf.shape, like.shape), state, PARAMS)
    assert mapped.pruned.inner[0].mu["fc1"]["kernel"] == (shapes["fc1"]["kernel"],) * 2
    jax.tree.map(np.testing.assert_array_equal, mapped.pruned.mask, full_mask(PARAMS))
    specs = optax.tree_map_params(tx, lambda leaf: "weight", state, transform_non_params=lambda leaf: "other")
    assert specs.pruned.inner[0].mu["head"]["kernel"] == "weight"
    assert specs.step == specs.pruned.mask == "other"


# --- replicates, devices, other trees ----------------------------------------------------------------------------


def test_replicates_may_be_vmapped() -> None:
    schedule = linear(0, 3, 0.0, 0.75)
    tx = gradual(optax.adam(0.05), schedule)
    other = jax.tree.map(lambda leaf: leaf[..., ::-1], PARAMS)
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), PARAMS, other)
    state = jax.vmap(tx.init)(both)
    step = jax.jit(jax.vmap(functools.partial(one_step, tx)))
    for _ in range(5):
        both, state = step(both, state)
    for row, start in enumerate((PARAMS, other)):
        _, alone = history(tx, 5, start)
        for path, kept in mask_of(state).items():
            np.testing.assert_array_equal(kept[row], mask_of(alone)[path][-1])


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_sharded_parameters_get_the_same_mask(kind) -> None:
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(kind,) * 2)
    specs = {
        "fc1": {"kernel": ("data", "model"), "bias": ("model",)},
        "fc2": {"kernel": ("model",)},
        "head": {"kernel": ()},
    }
    shardings = jax.tree.map(
        lambda s: NamedSharding(mesh, PartitionSpec(*s)), specs, is_leaf=lambda s: isinstance(s, tuple)
    )
    grads = jax.tree.map(lambda leaf: jnp.asarray(RANDOM.standard_normal(leaf.shape), jnp.float32), DEEPER)
    tx = gradual(optax.adamw(0.05), linear(0, 4, 0.1, 0.75))

    @jax.jit
    def step(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    results = []
    for params, gradients in ((DEEPER, grads), jax.device_put((DEEPER, grads), (shardings, shardings))):
        state = tx.init(params)
        for _ in range(5):
            params, state = step(params, state, gradients)
        results.append((params, state))
    (_, alone), (params, spread) = results
    jax.tree.map(np.testing.assert_array_equal, mask_of(spread), mask_of(alone))
    assert count(mask_of(alone))[0] == (SIZE + 16 * 8) // 4
    for path, kept in mask_of(spread).items():
        expected = shardings[path.split("/")[0]]["kernel"]
        assert kept.sharding.is_equivalent_to(expected, 2), path
        assert params[path.split("/")[0]]["kernel"].sharding.is_equivalent_to(expected, 2)


def test_no_step_waits_for_the_device() -> None:
    tx = gradual(optax.adam(0.05), linear(0, 4, 0.1, 0.75))
    step = jax.jit(functools.partial(one_step, tx))
    params, state = step(*step(PARAMS, tx.init(PARAMS)))
    with jax.transfer_guard("disallow"):
        for _ in range(3):
            params, state = step(params, state)
    assert step._cache_size() == 1, "one program for all steps"
    assert count(mask_of(state))[0] < SIZE


def test_any_tree_of_parameters_is_served() -> None:
    params = nnx.State({"fc": {"kernel": nnx.Param(jnp.array([[1.0, -2.0], [3.0, -4.0]]))}})
    tx = gradual(optax.adam(0.1), lambda t: 0.5)
    updates, state = tx.update(params, tx.init(params), params)
    kept = np.array([[False, False], [True, True]])
    np.testing.assert_array_equal(mask_of(state)["fc/kernel"], kept)
    np.testing.assert_array_equal(optax.apply_updates(params, updates)["fc"]["kernel"].get_value() != 0, kept)
    np.testing.assert_array_equal(state.pruned.inner[0].mu["fc"]["kernel"].get_value() != 0, kept)


# --- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"scope": {".*": 0.5}}, r"scope=.*fixes its own sparsity"),
        ({"granularity": n_of_m(2, 4)}, r"granularity=NOfM.*fixes its own sparsity"),
        ({"scope": "network"}, "scope='network'"),
    ],
)
def test_what_a_schedule_cannot_steer_is_named(options, named) -> None:
    with pytest.raises(MaskError, match=named):
        gradual(optax.sgd(0.1), lambda t: 0.5, **options)


def test_update_without_parameters_is_named() -> None:
    tx = gradual(optax.sgd(0.1), lambda t: 0.5)
    with pytest.raises(MaskError, match="update\\(grads, state, params\\)"):
        tx.update(PARAMS, tx.init(PARAMS))
    tx = gradual(optax.sgd(0.1), lambda t: 0.5, rules=[(".*", False)])
    with pytest.raises(MaskError, match="no leaves"):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)
