"""Equinox models are pytrees: masks, pruning, optimizers and tickets work on them with rules of their own."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxticket as jt
from jaxticket.core import paths
from jaxticket.core.errors import TicketError

pytestmark = [pytest.mark.feature("other frameworks")]

RULES = [(r"(.*/)?weight", lambda leaf: leaf.ndim >= 2), (".*", False)]
LAYERS = ["layers/0/weight", "layers/1/weight", "layers/2/weight"]


@pytest.fixture
def model():
    return eqx.nn.MLP(6, 3, 16, 2, key=jax.random.key(0))


@pytest.fixture
def mask(model):
    mask = jt.full_mask(model, RULES)
    return jt.prune(mask, jt.magnitude(model, mask), sparsity=0.8)


def arrays(model):
    return eqx.filter(model, eqx.is_inexact_array)


def test_rules_by_path_choose_equinox_weights(model, mask):
    assert sorted(mask) == LAYERS
    assert mask["layers/0/weight"].shape == (16, 6)  # outputs first
    assert jt.count(mask) == (400 - round(0.8 * 400), 400)
    assert jt.full_mask(model) == {}  # nothing in it is called kernel


def test_mask_is_that_of_equal_weights_in_dictionary(model, mask):
    tree = {"layers": [{"weight": layer.weight} for layer in model.layers]}
    same = jt.full_mask(tree, RULES)
    same = jt.prune(same, jt.magnitude(tree, same), sparsity=0.8)
    assert all(np.array_equal(same[path], kept) for path, kept in mask.items())


def test_apply_mask_gives_model_that_can_be_called(model, mask):
    pruned = jt.apply_mask(model, mask)
    assert type(pruned) is type(model)
    assert pruned.activation is model.activation
    assert sum(int((layer.weight == 0).sum()) for layer in pruned.layers) == round(0.8 * 400)
    expected = np.linspace(-1, 1, 6, dtype=np.float32)
    for number, layer in enumerate(model.layers):
        weight = np.asarray(layer.weight) * np.asarray(mask[LAYERS[number]])
        expected = weight @ (expected if number == 0 else np.maximum(expected, 0)) + np.asarray(layer.bias)
    np.testing.assert_allclose(pruned(jnp.linspace(-1, 1, 6)), expected, rtol=1e-4, atol=1e-5)


def test_sensitivities_take_the_arrays_of_a_model(model):
    params, static = eqx.partition(model, eqx.is_inexact_array)
    mask = jt.full_mask(params, RULES)
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(8, 6)).astype(np.float32), rng.integers(0, 3, 8))]

    def apply_fn(params, x):
        return jax.vmap(eqx.combine(params, static))(x)

    scores = jt.snip(apply_fn, params, mask, batches)

    def loss(params):
        logits = apply_fn(params, batches[0][0])
        return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.asarray(batches[0][1])).mean()

    grads = jax.grad(loss)(params)
    for number, path in enumerate(LAYERS):
        expected = np.abs(params.layers[number].weight * grads.layers[number].weight)
        np.testing.assert_allclose(scores[path], expected, rtol=1e-4, atol=1e-6)


def test_keep_pruned_keeps_exact_zeros(model, mask):
    model = start = jt.apply_mask(model, mask)
    optimizer = jt.keep_pruned(optax.adamw(1e-2, weight_decay=0.1), mask)
    state = optimizer.init(arrays(model))
    x = jax.random.normal(jax.random.key(1), (32, 6))
    targets = jnp.stack([x[:, 0], x[:, 1] * x[:, 2], jnp.abs(x[:, 3])], 1)

    @eqx.filter_jit
    def step(model, state):
        loss, grads = eqx.filter_value_and_grad(lambda m: jnp.square(jax.vmap(m)(x) - targets).mean())(model)
        updates, state = optimizer.update(grads, state, arrays(model))
        return eqx.apply_updates(model, updates), state, loss

    losses = []
    with jax.numpy_dtype_promotion("standard"):  # Adam in Optax divides by float ** int
        for _ in range(50):
            model, state, loss = step(model, state)
            losses.append(float(loss))
    assert losses[-1] < 0.9 * losses[0]
    weights, before = paths.leaves(model), paths.leaves(start)
    moments = paths.leaves(state.inner)
    for path in LAYERS:
        kept = np.asarray(mask[path])
        assert not np.any(np.asarray(weights[path])[~kept])
        assert np.any(np.asarray(weights[path] != before[path])[kept])
        for moment in ("mu", "nu"):
            assert not np.any(np.asarray(moments[f"0/{moment}/{path}"])[~kept])
    assert jt.count(jt.mask_of(state)) == jt.count(mask)


def test_a_ticket_of_arrays_comes_back_into_model(model, mask, tmp_path):
    model = jt.apply_mask(model, mask)
    with pytest.raises(TicketError):  # the activation is a leaf too, and no array
        jt.save_ticket(tmp_path, jt.Ticket(model, mask))
    jt.save_ticket(tmp_path, jt.Ticket(arrays(model), mask))
    other = eqx.nn.MLP(6, 3, 16, 2, key=jax.random.key(5))
    other = eqx.combine(jt.load_ticket(tmp_path).restore(arrays(other)), other)
    x = jnp.linspace(-1, 1, 6)
    np.testing.assert_array_equal(other(x), model(x))
