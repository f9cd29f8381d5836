import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket import models
from jaxticket.core.masks import full_mask
from jaxticket.core.paths import leaves
from jaxticket.recipes import LrsiOptions
from jaxticket.recipes.rescale_adam import initial_state
from jaxticket.recipes.scaling import (
    CONSTRAINT,
    OBJECTIVE,
    mean_cross_entropy,
    scale_gradients,
    scaled_leaves,
    scaling_step,
)

pytestmark = [pytest.mark.feature("aids of training")]

PARAMS = {"fc1": {"kernel": jnp.array([[0.5, 1], [-1, 0.3]])}, "fc2": {"kernel": jnp.array([[1, 0.2], [-0.5, 0.8]])}}
BATCH = (jnp.array([[1.0, 2.0], [-1.0, 0.5]]), jnp.array([0, 1]))
MASK = {"fc1/kernel": jnp.array([[True, False], [True, True]]), "fc2/kernel": jnp.array([[True, True], [False, True]])}


def mlp(params, x):
    return jax.nn.relu(x @ params["fc1"]["kernel"]) @ params["fc2"]["kernel"]


def gradients(mask, scales=(1.0, 1.0), params=PARAMS, judge=BATCH, **options):
    options = LrsiOptions(**options)
    return scale_gradients(mlp, options, mean_cross_entropy, jnp.array(scales), params, mask, BATCH, judge)


def value(scales, mask, params=PARAMS):
    """The loss of the scaled network on the batch, pruned weights zero, in the default precision."""
    names = ("fc1", "fc2")
    weights = {name: {"kernel": scales[i] * params[name]["kernel"]} for i, name in enumerate(names)}
    for name in names:
        kept = mask.get(f"{name}/kernel", True)
        weights[name]["kernel"] = jnp.where(kept, weights[name]["kernel"], 0)
    return mean_cross_entropy(mlp(weights, BATCH[0]), BATCH[1])


def test_tost_12_the_norm_and_its_gradients():
    found = gradients({}, gamma=1.0)
    assert float(value((1.0, 1.0), {})) == pytest.approx(1.445434, abs=1e-6)
    assert float(found.norm) == float(found.lowered) == pytest.approx(1.637323, abs=1e-6)
    np.testing.assert_allclose(found.gradients, [0.995982, 1.397772], atol=2e-6)
    assert found.goal == CONSTRAINT


def test_tost_12_objective_and_its_gradients_with_step_held_fixed():
    found = gradients({}, gamma=None)
    assert float(found.lowered) == pytest.approx(12.918851, abs=1e-5)
    np.testing.assert_allclose(found.gradients, [8.239808, 7.856063], atol=2e-5)
    assert found.goal == OBJECTIVE


def test_directions():
    """Signs for adam, with the sum of sizes as norm; for sgd without normalising the gradient itself."""
    grads = jax.grad(lambda params: mean_cross_entropy(mlp(params, BATCH[0]), BATCH[1]))(PARAMS)
    for options, direction in [
        ({"direction": "adam"}, jax.tree.map(jnp.sign, grads)),
        ({"normalise": False}, grads),
    ]:
        after = jax.tree.map(lambda w, d: w - 0.3 * d, PARAMS, direction)
        expected = mean_cross_entropy(mlp(after, BATCH[0]), BATCH[1]) / 0.3
        assert float(gradients({}, gamma=None, eta=0.3, **options).lowered) == pytest.approx(float(expected), rel=1e-6)
    sizes = sum(float(jnp.abs(grad).sum()) for grad in jax.tree.leaves(grads))
    assert float(gradients({}, direction="adam").norm) == pytest.approx(sizes, rel=1e-6)


@pytest.mark.parametrize("direction", ["sgd", "adam"])
def test_gradients_of_norm_are_those_of_finite_differences(direction):
    found = gradients(MASK, (0.9, 1.2), direction=direction, gamma=1e-3)

    def norm(first, second):
        return float(gradients(MASK, (first, second), direction=direction, gamma=None).norm)

    by_hand = [
        (norm(0.9 + 0.01, 1.2) - norm(0.9 - 0.01, 1.2)) / 0.02,
        (norm(0.9, 1.2 + 0.01) - norm(0.9, 1.2 - 0.01)) / 0.02,
    ]
    np.testing.assert_allclose(found.gradients, by_hand, rtol=2e-3)


@pytest.mark.parametrize("gamma", [1e-3, None], ids=["constraint", "objective"])
@pytest.mark.parametrize("direction", ["sgd", "adam"])
def test_pruned_weights_count_nowhere(direction, gamma):
    """ToST 2.8, order B: neither their values, nor their gradients in the norm, nor a step that revives them."""
    found = gradients(MASK, direction=direction, gamma=gamma)
    noise = {name: {"kernel": jnp.where(MASK[f"{name}/kernel"], leaf["kernel"], 7.0)} for name, leaf in PARAMS.items()}
    again = gradients(MASK, direction=direction, gamma=gamma, params=noise)
    jax.tree.map(np.testing.assert_array_equal, again, found)

    # A network that has no such weights at all: they are multiplied by zero wherever they are used.
    def smaller(params, x):
        kept = {
            name: {"kernel": leaf["kernel"] * MASK[f"{name}/kernel"].astype(jnp.float32)}
            for name, leaf in params.items()
        }
        return mlp(kept, x)

    options = LrsiOptions(direction=direction, gamma=gamma)
    other = scale_gradients(smaller, options, mean_cross_entropy, jnp.ones(2), noise, {}, BATCH, BATCH)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), other, found)
    assert abs(float(found.norm) - float(gradients({}, direction=direction, gamma=gamma).norm)) > 1e-3


def test_a_network_without_gradient_has_no_gradients():
    dead = jax.tree.map(jnp.zeros_like, PARAMS)
    for gamma in (None, 1.0):
        found = gradients({}, params=dead, gamma=gamma)
        assert float(found.norm) == 0
        np.testing.assert_array_equal(found.gradients, [0, 0])


def test_step_is_judged_on_other_batches():
    batches = [(jnp.ones((1, 2)) * number, jnp.array([0])) for number in range(4)]
    seen = []

    def apply_fn(params, x):
        seen.append(x[:, 0].tolist())
        return mlp(params, x)

    def judged(used):
        seen.clear()
        with jax.disable_jit():
            scaling_step(apply_fn, LrsiOptions(gamma=None))(initial_state(2), PARAMS, {}, tuple(used))
        return seen

    assert judged(batches[:3]) == [[0, 1], [0, 2]]
    assert judged(batches) == [[0, 1], [2, 3]]


def test_it_can_be_scanned():
    """The step under `lax.scan` does what single steps do."""
    random = np.random.default_rng(0)
    x = jnp.asarray(random.standard_normal((6, 3, 4, 2)), jnp.float32)
    y = jnp.asarray(random.integers(0, 2, (6, 3, 4)))
    step = scaling_step(mlp, LrsiOptions(gamma=0.2))
    once = jax.jit(lambda state, x, y: step(state, PARAMS, MASK, tuple((x[i], y[i]) for i in range(3))))
    last, found = jax.lax.scan(lambda state, used: once(state, *used), initial_state(2), (x, y))
    state = initial_state(2)
    for place in range(6):
        state, one = once(state, x[place], y[place])
        assert one.goal == found.goal[place]
    np.testing.assert_allclose(last.scales, state.scales, rtol=1e-6)
    assert len(set(found.goal.tolist())) == 2


# One of each family that is traced in seconds; the others on demand.
QUICK = {"lenet300", "lenet5", "conv2", "conv3", "conv4", "conv6", "alexnet", "resnet20"}
DEEP = (pytest.mark.slow, pytest.mark.deep)


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else DEEP) for name in models.names()])
def test_every_network_can_be_scaled(name):
    """Traced, not run: one scale and one gradient for each tensor, all floating-point leaves."""
    model = models.create_model(name, 10)
    params, model_state = models.abstract_variables(model, (32, 32, 3))
    batch = (jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32), jax.ShapeDtypeStruct((2,), jnp.int32))

    def iteration(params, model_state, batches):
        def apply_fn(params, x):
            return models.apply_model(model, params, model_state, x, train=True)[0]

        state = initial_state(len(scaled_leaves(params)))
        return scaling_step(apply_fn, LrsiOptions())(state, params, full_mask(params), batches)

    state, found = jax.eval_shape(iteration, params, model_state, (batch,) * 3)
    assert state.scales.shape == found.gradients.shape == (len(leaves(params)),)
