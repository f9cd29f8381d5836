"""A training loop as users have it becomes a pruned one by three more lines, and by nothing else."""

import jax
import numpy as np
import pytest

import jaxticket as jt
from jaxticket import data
from jaxticket.core import paths

pytestmark = [pytest.mark.feature("pruning in Optax")]

LOOP = """
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax.training import train_state


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = x.reshape((x.shape[0], -1))
        x = nn.relu(nn.Dense(128)(x))
        x = nn.relu(nn.Dense(64)(x))
        return nn.Dense(10)(x)


@jax.jit
def train_step(state, images, labels):
    def loss_fn(params):
        logits = state.apply_fn({"params": params}, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    loss, grads = jax.value_and_grad(loss_fn)(state.params)
    return state.apply_gradients(grads=grads), loss


def train_and_evaluate(train_images, train_labels, test_images, test_labels, epochs=15, batch_size=64):
    model = MLP()
    key = jax.random.key(0)
    params = model.init(key, train_images[:1])["params"]
    tx = optax.adamw(2e-3, weight_decay=1e-3)
    state = train_state.TrainState.create(apply_fn=model.apply, params=params, tx=tx)
    steps = len(train_labels) // batch_size
    for epoch in range(epochs):
        order = jax.random.permutation(jax.random.fold_in(key, epoch), len(train_labels))
        for batch in order[: steps * batch_size].reshape(steps, batch_size):
            state, loss = train_step(state, train_images[batch], train_labels[batch])
    logits = state.apply_fn({"params": state.params}, test_images)
    return state, float((logits.argmax(-1) == test_labels).mean())
"""

THREE_LINES = {  # each goes below the line that it is listed with
    "import optax": "import jaxticket as jt",
    '    params = model.init(key, train_images[:1])["params"]': (
        "    mask = jt.prune(jt.full_mask(params), jt.magnitude(params, jt.full_mask(params)), sparsity=SPARSITY)"
    ),
    "    tx = optax.adamw(2e-3, weight_decay=1e-3)": (
        "    params, tx = jt.apply_mask(params, mask), jt.keep_pruned(tx, mask)"
    ),
}


def pruned_loop(sparsity):
    lines = LOOP.splitlines()
    assert all(lines.count(above) == 1 for above in THREE_LINES)
    new = [added for line in lines for added in (line, THREE_LINES.get(line)) if added is not None]
    assert len(new) == len(lines) + 3
    assert [line for line in new if line not in THREE_LINES.values()] == lines
    return "\n".join(new).replace("SPARSITY", str(sparsity))


@pytest.fixture(scope="module")
def digits():
    loaded = data.load("digits")

    def prepared(split):
        return (split.images / 255).astype(np.float32), split.labels

    return [jax.numpy.asarray(array) for split in (loaded.train, loaded.test) for array in prepared(split)]


def run(source, digits):
    namespace = {}
    exec(compile(source, "user_loop", "exec"), namespace)
    with jax.numpy_dtype_promotion("standard"):  # what users have; Optax itself is not written for strict sessions
        return namespace["train_and_evaluate"](*digits)


def bits(params):
    return {path: np.asarray(leaf).tobytes() for path, leaf in paths.leaves(params).items()}


def test_three_lines_make_a_users_loop_pruned_one(digits):
    dense, dense_accuracy = run(LOOP, digits)
    pruned, accuracy = run(pruned_loop(0.8), digits)
    assert dense_accuracy > 0.93
    assert accuracy > dense_accuracy - 0.05

    mask = jt.mask_of(pruned.opt_state)
    assert sorted(mask) == ["Dense_0/kernel", "Dense_1/kernel", "Dense_2/kernel"]
    kept, total = jt.count(mask)
    assert (total - kept, total) == (round(0.8 * total), 64 * 128 + 128 * 64 + 64 * 10)
    weights = paths.leaves(pruned.params)
    moments = paths.leaves(pruned.opt_state.inner)
    for path in mask:
        pruned_here = ~np.asarray(mask[path])
        assert not np.any(np.asarray(weights[path])[pruned_here])
        assert np.all(np.asarray(weights[path])[~pruned_here])
        for moment in ("mu", "nu"):
            assert not np.any(np.asarray(moments[f"0/{moment}/{path}"])[pruned_here])
    assert int(pruned.step) == int(dense.step) > 0

    # Pruning has left nothing behind that a dense run would feel.
    again, again_accuracy = run(LOOP, digits)
    assert bits(again.params) == bits(dense.params)
    assert again_accuracy == dense_accuracy
    assert all(np.all(leaf) for path, leaf in paths.leaves(dense.params).items() if path in mask)


def test_three_lines_without_sparsity_train_as_dense(digits):
    dense, dense_accuracy = run(LOOP, digits)
    full, accuracy = run(pruned_loop(0.0), digits)
    for path, leaf in paths.leaves(dense.params).items():
        np.testing.assert_allclose(paths.leaves(full.params)[path], leaf, rtol=1e-4, atol=1e-5)
    assert accuracy == pytest.approx(dense_accuracy, abs=0.01)
