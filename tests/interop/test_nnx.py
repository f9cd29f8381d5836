"""An NNX model and its Linen twin: the same paths, the same masks, the same tickets."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

import jaxticket as jt
from jaxticket.core import paths
from jaxticket.core.errors import MaskError
from jaxticket.interop import functional

pytestmark = [pytest.mark.feature("other frameworks")]

SHAPE = (1, 6, 6, 2)
PRUNED = 0.7


class Block(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(8, 8, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)

    def __call__(self, x):
        return x + nnx.relu(self.norm(self.conv(x)))


class Net(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(2, 8, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.block = Block(rngs)
        self.fc = nnx.Linear(8, 16, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(16, 5, rngs=rngs)

    def __call__(self, x):
        x = self.block(nnx.relu(self.norm(self.conv(x))))
        return self.head(self.drop(nnx.relu(self.fc(x.mean((1, 2))))))


class LinenBlock(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        y = nn.BatchNorm(use_running_average=not train, name="norm")(nn.Conv(8, (3, 3), name="conv")(x))
        return x + nn.relu(y)


class LinenNet(nn.Module):
    @nn.compact
    def __call__(self, x, train=False):
        x = nn.BatchNorm(use_running_average=not train, name="norm")(nn.Conv(8, (3, 3), name="conv")(x))
        x = LinenBlock(name="block")(nn.relu(x), train)
        x = nn.relu(nn.Dense(16, name="fc")(x.mean((1, 2))))
        return nn.Dense(5, name="head")(nn.Dropout(0.5, deterministic=not train)(x))


@pytest.fixture(scope="module")
def weights():
    """Path -> array of a network with every leaf at random, normalisations included."""
    state = nnx.state(Net(nnx.Rngs(0)), nnx.Param)
    rng = np.random.default_rng(0)
    return {
        path: jnp.asarray(rng.normal(1.0 if path.endswith("scale") else 0.0, 0.3, leaf.shape), jnp.float32)
        for path, leaf in paths.leaves(state).items()
    }


@pytest.fixture
def model(weights):
    model = Net(nnx.Rngs(0))
    nnx.update(model, paths.replace(nnx.state(model, nnx.Param), jax.tree.map(jnp.copy, weights)))
    return model


@pytest.fixture(scope="module")
def twin(weights):
    """(apply_fn, params) of the Linen network with the weights of `model`."""
    net = LinenNet()
    variables = net.init(jax.random.key(1), jnp.zeros(SHAPE))
    params = paths.replace(variables["params"], weights)
    return lambda p, x: net.apply({"params": p, "batch_stats": variables["batch_stats"]}, x), params


@pytest.fixture(scope="module")
def batches():
    rng = np.random.default_rng(1)
    return [(rng.normal(size=(8, *SHAPE[1:])).astype(np.float32), rng.integers(0, 5, 8)) for _ in range(2)]


def bits(tree):
    def plain(leaf):
        return np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)

    return {path: (str(leaf.dtype), plain(leaf).tobytes()) for path, leaf in paths.leaves(tree).items()}


# Equal weights, equal masks.

SCALES = [(r"(.*/)?scale", True), (".*", False)]
CRITERIA = {
    "magnitude": lambda apply_fn, params, mask, batches: jt.magnitude(params, mask),
    "lamp": lambda apply_fn, params, mask, batches: jt.lamp(params, mask),
    "random": lambda apply_fn, params, mask, batches: jt.random_scores(params, mask, jax.random.key(3)),
    "bn_scale": lambda apply_fn, params, mask, batches: jt.bn_scale(params, mask),
    "snip": jt.snip,
    "grasp": jt.grasp,
    "obd": jt.obd,
    "synflow": lambda apply_fn, params, mask, batches: jt.synflow(apply_fn, params, mask, SHAPE),
}


def pruned(apply_fn, params, criterion, batches):
    mask = jt.full_mask(params, SCALES if criterion == "bn_scale" else jt.DEFAULT_RULES)
    return jt.prune(mask, CRITERIA[criterion](apply_fn, params, mask, batches), sparsity=PRUNED)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_nnx_and_linen_twins_get_equal_masks(model, twin, batches, criterion):
    linen = pruned(*twin, criterion, batches)
    apply_fn, params = functional(model)
    assert linen
    assert jt.sparsity(linen) == pytest.approx(PRUNED, abs=0.03)
    for tree in (params, nnx.state(model, nnx.Param)):  # the dictionary, and the state as users have it
        mask = pruned(apply_fn, tree, criterion, batches)
        assert bits(mask) == bits(linen)
        assert all(isinstance(kept, jax.Array) for kept in mask.values())


def test_synflow_prune_is_the_same_for_twins(model, twin):
    masks = [
        jt.synflow_prune(apply_fn, params, jt.full_mask(params), SHAPE, sparsity=0.9, rounds=3)
        for apply_fn, params in (twin, functional(model))
    ]
    assert bits(masks[0]) == bits(masks[1])


# The function.


def test_the_function_gives_the_models_logits(model, twin, batches):
    x = jnp.asarray(batches[0][0])
    apply_fn, params = functional(model)
    logits = apply_fn(params, x)
    np.testing.assert_allclose(logits, twin[0](twin[1], x), rtol=1e-5, atol=1e-5)
    for same in (nnx.state(model, nnx.Param), twin[1]):
        np.testing.assert_array_equal(apply_fn(same, x), logits)
    model.eval()
    np.testing.assert_allclose(model(x), logits, rtol=1e-5, atol=1e-5)


def test_train_decides_the_mode_whatever_model_is_in(model, batches):
    x = jnp.asarray(batches[0][0])
    outputs = {}
    for name, set_mode in (("train", model.train), ("eval", model.eval)):
        set_mode()
        modes = model.norm.use_running_average, model.drop.deterministic
        for train in (False, True):
            apply_fn, params = functional(model, train=train)
            outputs[name, train] = np.asarray(apply_fn(params, x))
        assert (model.norm.use_running_average, model.drop.deterministic) == modes
    for train in (False, True):
        np.testing.assert_array_equal(outputs["train", train], outputs["eval", train])
    assert not np.allclose(outputs["eval", False], outputs["eval", True], rtol=0.1, atol=0.1)


def test_the_function_is_pure_in_training_mode(model, batches):
    x = jnp.asarray(batches[0][0])
    before = bits(model)
    apply_fn, params = functional(model, train=True)
    gradient = jax.jit(jax.grad(lambda p: apply_fn(p, x).sum()))
    first, logits = gradient(params), apply_fn(params, x)
    assert bits(model) == before
    model(10 * x)  # moves statistics and random numbers of the model
    assert bits(model) != before
    np.testing.assert_array_equal(apply_fn(params, x), logits)
    assert bits(gradient(params)) == bits(first)


def test_the_function_survives_a_step_that_donates_model(model, batches):
    x = jnp.asarray(batches[0][0])
    apply_fn, params = functional(model)
    params = jax.tree.map(jnp.copy, params)
    logits = apply_fn(params, x)
    for leaf in jax.tree.leaves(nnx.state(model)):
        leaf.delete()
    np.testing.assert_array_equal(apply_fn(params, x), logits)


def test_pruned_params_are_written_back(model, batches):
    x = jnp.asarray(batches[0][0])
    apply_fn, params = functional(model)
    mask = pruned(apply_fn, params, "magnitude", batches)
    params = jt.apply_mask(params, mask)
    nnx.update(model, params)
    state = nnx.state(model, nnx.Param)
    assert bits(state) == bits(params)
    assert bits(jt.apply_mask(state, mask)) == bits(state)
    model.eval()
    np.testing.assert_allclose(model(x), apply_fn(params, x), rtol=1e-5, atol=1e-5)


def test_lists_of_modules_are_addressed_by_number(tmp_path):
    model = nnx.Sequential(nnx.Linear(6, 5, rngs=nnx.Rngs(0)), nnx.relu, nnx.Linear(5, 4, rngs=nnx.Rngs(1)))
    apply_fn, params = functional(model)
    mask = jt.full_mask(params)
    assert sorted(mask) == ["layers/0/kernel", "layers/2/kernel"]
    mask = jt.prune(mask, jt.magnitude(params, mask), sparsity=0.5)
    params = jt.apply_mask(params, mask)
    jt.save_ticket(tmp_path, jt.Ticket(params, mask))
    ticket = jt.load_ticket(tmp_path)  # whose dictionaries have text keys
    assert bits(apply_fn(ticket.params, jnp.ones((2, 6)))) == bits(apply_fn(params, jnp.ones((2, 6))))
    nnx.update(model, ticket.restore(params))
    assert bits(nnx.state(model, nnx.Param)) == bits(params)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda params: params["fc"].pop("bias"), r"'fc/bias' is \(16,\) in the model and absent in the given params"),
        (lambda params: params.update(more=np.ones(2)), r"'more' is absent in the model and \(2,\) in the given"),
        (lambda params: params["fc"].update(bias=np.ones(3)), r"'fc/bias' is \(16,\) in the model and \(3,\) in"),
    ],
)
def test_params_of_another_model_are_refused(model, change, message):
    apply_fn, params = functional(model)
    change(params)
    with pytest.raises(MaskError, match=message):
        apply_fn(params, jnp.ones(SHAPE))


@pytest.mark.parametrize(
    ("thing", "message"),
    [(LinenNet(), "takes an NNX module, got a LinenNet"), (nnx.Dropout(0.5), "Dropout has no nnx.Param")],
)
def test_what_is_no_model_is_refused(thing, message):
    with pytest.raises(MaskError, match=message):
        functional(thing)


# Tickets.


def test_ticket_goes_from_nnx_to_linen_and_back(model, twin, batches, tmp_path):
    x = jnp.asarray(batches[0][0])
    apply_fn, params = functional(model)
    mask = pruned(apply_fn, params, "magnitude", batches)
    state = jt.apply_mask(nnx.state(model, nnx.Param), mask)
    jt.save_ticket(tmp_path / "nnx", jt.Ticket(state, mask))

    linen_apply, linen_params = twin
    from_nnx = jt.load_ticket(tmp_path / "nnx")
    linen_params = from_nnx.restore(linen_params)
    assert bits(linen_params) == bits(state)
    np.testing.assert_allclose(linen_apply(linen_params, x), apply_fn(state, x), rtol=1e-5, atol=1e-5)

    jt.save_ticket(tmp_path / "linen", jt.Ticket(linen_params, from_nnx.mask))
    for name in ("ticket.safetensors", "ticket.json"):
        assert (tmp_path / "linen" / name).read_bytes() == (tmp_path / "nnx" / name).read_bytes()

    other = Net(nnx.Rngs(9))
    nnx.update(other, jt.load_ticket(tmp_path / "linen").restore(nnx.state(other, nnx.Param)))
    assert bits(nnx.state(other, nnx.Param)) == bits(state)


# Training.


@pytest.mark.parametrize(
    "tx",
    [optax.sgd(0.1, momentum=0.9, nesterov=True), optax.adamw(0.01, weight_decay=0.1)],
    ids=["sgd", "adamw"],
)
def test_keep_pruned_in_nnx_optimizer_keeps_exact_zeros(model, batches, tx):
    mask = pruned(*functional(model), "magnitude", batches)
    nnx.update(model, jt.apply_mask(nnx.state(model, nnx.Param), mask))
    optimizer = nnx.Optimizer(model, jt.keep_pruned(tx, mask), wrt=nnx.Param)
    start = jax.tree.map(jnp.copy, nnx.to_pure_dict(nnx.state(model, nnx.Param)))

    @nnx.jit
    def step(model, optimizer, x, labels):
        def loss(model):
            return optax.softmax_cross_entropy_with_integer_labels(model(x), labels).mean()

        value, grads = nnx.value_and_grad(loss)(model)
        optimizer.update(model, grads)
        return value

    with jax.numpy_dtype_promotion("standard"):  # Adam in Optax divides by float ** int
        losses = [float(step(model, optimizer, jnp.asarray(x), jnp.asarray(y))) for x, y in 25 * batches]
    assert losses[-1] < losses[0]

    params = paths.leaves(nnx.state(model, nnx.Param))
    before = paths.leaves(start)
    for path, kept in mask.items():
        assert not np.any(params[path][~kept])
        assert np.mean(np.asarray(params[path] != before[path])[np.asarray(kept)]) > 0.5  # some units are dead
        inner = paths.leaves(nnx.as_pure(optimizer.opt_state.inner))
        moments = [leaf for name, leaf in inner.items() if name.endswith(f"/{path}") and leaf.shape == kept.shape]
        assert moments
        for moment in moments:
            assert not np.any(moment[~kept])
            assert np.any(moment[kept])
    found = jt.mask_of(optimizer.opt_state)
    assert jt.count(found) == jt.count(mask)
    again = jt.prune(found, jt.magnitude(nnx.state(model, nnx.Param), found), rate=0.2)  # the next level
    assert jt.sparsity(again) > jt.sparsity(mask)
    assert all(np.all(mask[path] >= kept) for path, kept in again.items())


def test_importing_the_package_does_not_import_flax():
    code = "import sys, jaxticket.interop; assert not {'flax', 'jax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
