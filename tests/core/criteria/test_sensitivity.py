import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.core.criteria.grasp import grasp
from jaxticket.core.criteria.movement import movement
from jaxticket.core.criteria.obd import obd
from jaxticket.core.criteria.snip import snip, taylor
from jaxticket.core.errors import MaskError
from jaxticket.core.masks import full_mask
from jaxticket.core.prune import prune

pytestmark = [pytest.mark.feature("criteria")]

# The linear softmax of two inputs and two classes, kernel [inputs, outputs], and two batches of one example.
PARAMS = {"fc": {"kernel": jnp.array([[0.5, 1.0], [-1.0, 0.2]])}}
FULL = {"fc/kernel": jnp.ones((2, 2), bool)}
BATCH_A = (np.array([[1.0, 2.0]], np.float32), np.array([0]))
BATCH_B = (np.array([[1.0, -1.0]], np.float32), np.array([0]))


def linear(params, x):
    return x @ params["fc"]["kernel"]


def mlp(params, x):
    return jnp.tanh(x @ params["fc1"]["kernel"]) @ params["fc2"]["kernel"]


def mlp_params(seed: int = 0) -> dict:
    random = np.random.default_rng(seed)
    shapes = {"fc1": (4, 6), "fc2": (6, 3)}
    return {name: {"kernel": jnp.asarray(random.standard_normal(shape), jnp.float32)} for name, shape in shapes.items()}


MLP_MASK = {
    "fc1/kernel": jnp.asarray(np.random.default_rng(1).random((4, 6)) < 0.7),
    "fc2/kernel": jnp.ones((6, 3), bool),
}


def mlp_batches(count: int = 3, size: int = 5) -> list:
    random = np.random.default_rng(7)
    return [(random.standard_normal((size, 4)).astype(np.float32), random.integers(0, 3, size)) for _ in range(count)]


def cross_entropy(params, x, labels):
    return -jnp.take_along_axis(jax.nn.log_softmax(mlp(params, x)), labels[:, None], 1).mean()


def masked_params() -> dict:
    params = mlp_params()
    return {name: {"kernel": jnp.where(MLP_MASK[f"{name}/kernel"], params[name]["kernel"], 0)} for name in params}


def test_tost_4_snip_adds_signed_gradients_over_batches_first() -> None:
    scores = snip(linear, PARAMS, FULL, [BATCH_A, BATCH_B])["fc/kernel"]
    np.testing.assert_allclose(scores, np.transpose([[0.639829, 1.563881], [1.279659, 0.312776]]), atol=1e-5)
    share = np.transpose([[0.168547, 0.411965], [0.337094, 0.082393]])
    np.testing.assert_allclose(scores / scores.sum(), share, atol=1e-5)


def test_snip_per_batch_adds_scores() -> None:
    scores = snip(linear, PARAMS, FULL, [BATCH_A, BATCH_B], per_batch=True)["fc/kernel"]
    np.testing.assert_allclose(scores, np.transpose([[0.639829, 2.227505], [1.279659, 0.445501]]), atol=1e-5)


def test_snip_is_the_derivative_with_respect_to_mask() -> None:
    params, batches = mlp_params(), mlp_batches()

    def loss(multipliers):
        scaled = {name: {"kernel": params[name]["kernel"] * multipliers[f"{name}/kernel"]} for name in params}
        return sum(cross_entropy(scaled, x, labels) for x, labels in batches)

    expected = jax.grad(loss)({path: jnp.ones(kept.shape) for path, kept in MLP_MASK.items()})
    scores = snip(mlp, params, {path: jnp.ones(kept.shape, bool) for path, kept in MLP_MASK.items()}, batches)
    for path, score in scores.items():
        np.testing.assert_allclose(score, jnp.abs(expected[path]), rtol=1e-5, atol=1e-7)


def test_derivatives_are_taken_where_pruned_weights_are_zero() -> None:
    # What a pruned weight was does not matter.
    params, batches = mlp_params(), mlp_batches()
    for criterion in (snip, grasp, obd):
        scores, same = criterion(mlp, params, MLP_MASK, batches), criterion(mlp, masked_params(), MLP_MASK, batches)
        for path, kept in MLP_MASK.items():
            np.testing.assert_array_equal(scores[path], same[path])
            assert not np.asarray(scores[path])[~np.asarray(kept)].any()


def test_tost_5_taylor_and_snip_give_the_same_mask() -> None:
    params, batches = mlp_params(), mlp_batches()
    a = prune(MLP_MASK, snip(mlp, params, MLP_MASK, batches), sparsity=0.6)
    b = prune(MLP_MASK, taylor(mlp, params, MLP_MASK, batches), sparsity=0.6)
    for path in MLP_MASK:
        np.testing.assert_array_equal(a[path], b[path])


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_grasp_on_logistic_regression(temperature) -> None:
    """The order and the values, by hand.

    Logits (w.x, 0), label 0: L = log(1 + exp(-z)), z = w.x / T. With s = sigmoid(z):
        g   = -(1 - s) x / T
        H   = s (1 - s) x x' / T^2
        H g = -s (1 - s)^2 |x|^2 x / T^3
        score = w * H g = -(w * x) s (1 - s)^2 |x|^2 / T^3
    w * x = (1, -2, 1.5): the weight that works against the label keeps the gradient up and scores highest, the one
    that works for it most scores lowest. |g|^2 = (1 - s)^2 |x|^2 / T^2 indeed falls when z rises.
    """
    w, x = np.array([1.0, -2.0, 0.5], np.float32), np.array([1.0, 1.0, 3.0], np.float32)

    def logistic(params, x):
        z = x @ params["w"]
        return jnp.stack([z, jnp.zeros_like(z)], axis=1)

    scores = grasp(logistic, {"w": jnp.asarray(w)}, {"w": jnp.ones(3, bool)}, [(x[None], np.array([0]))], temperature)
    s = 1 / (1 + np.exp(-(w @ x) / temperature))
    np.testing.assert_allclose(scores["w"], -w * x * s * (1 - s) ** 2 * (x @ x) / temperature**3, rtol=1e-5)
    np.testing.assert_array_equal(np.argsort(scores["w"]), [2, 0, 1])


def test_grasp_is_hessian_times_gradient_of_all_batches() -> None:
    params, batches = masked_params(), mlp_batches()

    def loss(weights):
        flat = {
            name: {"kernel": jnp.where(MLP_MASK[f"{name}/kernel"], weights[f"{name}/kernel"], 0)} for name in params
        }
        logs = [jax.nn.log_softmax(mlp(flat, x) / 3.0) for x, _ in batches]
        return -sum(jnp.take_along_axis(log, y[:, None], 1).mean() for log, (_, y) in zip(logs, batches, strict=True))

    weights = {f"{name}/kernel": params[name]["kernel"] for name in params}
    gradients, hessian = jax.grad(loss)(weights), jax.hessian(loss)(weights)
    # An iterator can be gone through once only, though two passes are needed.
    scores = grasp(mlp, params, MLP_MASK, iter(batches), temperature=3.0)
    for path in weights:
        product = sum(jnp.tensordot(hessian[path][other], gradients[other], 2) for other in weights)
        np.testing.assert_allclose(scores[path], weights[path] * product, rtol=2e-4, atol=1e-7)


def test_obd_adds_squared_gradients_of_examples() -> None:
    params, batches = masked_params(), mlp_batches(2, size=5)
    expected = {path: np.zeros(kept.shape) for path, kept in MLP_MASK.items()}
    for x, labels in batches:
        for one, label in zip(x, labels, strict=True):
            gradients = jax.grad(cross_entropy)(params, one[None], label[None])
            for name in params:
                expected[f"{name}/kernel"] += np.square(gradients[name]["kernel"] * params[name]["kernel"]) / 2
    for chunk in (2, 8):
        scores = obd(mlp, params, MLP_MASK, batches, chunk=chunk)
        for path, score in scores.items():
            np.testing.assert_allclose(score, expected[path], rtol=2e-5, atol=1e-8)


def test_movement_adds_up_over_steps() -> None:
    mask = {"w": jnp.array([True, True, False])}
    steps = [({"w": jnp.array([1.0, -2.0, 3.0])}, {"w": jnp.array([0.5, 0.5, 9.0])})] * 2
    scores = None
    for params, grads in steps:
        scores = movement(params, mask, grads, scores)
    assert scores is not None
    # The first weight shrinks under its gradient, the second grows.
    np.testing.assert_array_equal(scores["w"], [-1, 2, 0])
    start = {"w": jnp.zeros(3)}
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *steps)
    scanned, _ = jax.lax.scan(lambda total, step: (movement(step[0], mask, step[1], total), None), start, stacked)
    np.testing.assert_array_equal(scanned["w"], scores["w"])


@pytest.mark.parametrize("criterion", [snip, grasp, obd])
def test_batches_are_streamed_through_one_compilation(criterion) -> None:
    traces, alive = [], []

    def apply_fn(params, x):
        traces.append(x.shape)
        return mlp(params, x)

    def stream():
        for number, batch in enumerate(mlp_batches(6)):
            alive.append(number)
            yield batch

    source = iter(stream())
    criterion(apply_fn, mlp_params(), MLP_MASK, itertools.islice(source, 2))
    assert alive == [0, 1]
    once = len(traces)
    traces.clear()
    criterion(apply_fn, mlp_params(), MLP_MASK, stream())
    assert len(traces) == once  # the number of batches does not matter


def test_function_with_changing_closure_is_not_remembered() -> None:
    state = {"scale": 1.0}

    def apply_fn(params, x):
        return linear(params, x) * state["scale"]

    first = snip(apply_fn, PARAMS, FULL, [BATCH_A])["fc/kernel"]
    state["scale"] = 2.0
    assert not np.allclose(first, snip(apply_fn, PARAMS, FULL, [BATCH_A])["fc/kernel"])


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "no batches"),
        ([BATCH_A[0]], "batch 0 is a ndarray; it must be a pair"),
        ([BATCH_A, (BATCH_A[0], np.eye(2)[:1])], "batch 1 has labels float64"),
    ],
)
def test_batches_that_cannot_be_used_are_named(batches, message) -> None:
    for criterion in (snip, grasp, obd):
        with pytest.raises(MaskError, match=message):
            criterion(linear, PARAMS, FULL, batches)


def test_other_mistakes_are_named() -> None:
    with pytest.raises(MaskError, match="apply_fn returned a tuple"):
        snip(lambda params, x: (linear(params, x), {}), PARAMS, FULL, [BATCH_A])
    with pytest.raises(MaskError, match=r"apply_fn returned shape \(1,\)"):
        snip(lambda params, x: linear(params, x).sum(1), PARAMS, FULL, [BATCH_A])
    with pytest.raises(MaskError, match="temperature=0"):
        grasp(linear, PARAMS, FULL, [BATCH_A], 0)
    with pytest.raises(MaskError, match="chunk=0"):
        obd(linear, PARAMS, FULL, [BATCH_A], chunk=0)
    for criterion in (snip, grasp, obd):
        with pytest.raises(MaskError, match="'other/kernel'"):
            criterion(linear, PARAMS, {"other/kernel": jnp.ones((2, 2), bool)}, [BATCH_A])


@pytest.mark.parametrize("criterion", [snip, obd])
def test_memory_between_batches_is_at_most_twice_parameters(criterion):
    params = {name: {"kernel": jnp.ones((200, 200)) * 0.01} for name in ("a", "b", "c")}
    mask = full_mask(params)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(params))

    def network(params, x):
        for name in ("a", "b", "c"):
            x = jnp.tanh(x @ params[name]["kernel"])
        return x

    held = []

    def batches():
        for seed in range(4):
            held.append(sum(array.nbytes for array in jax.live_arrays()))
            yield jax.random.normal(jax.random.key(seed), (4, 200)), jnp.arange(4)

    before = sum(array.nbytes for array in jax.live_arrays())
    scores = criterion(network, params, mask, batches())
    assert len(held) == 4
    assert max(held) - before <= 2.1 * size  # a sum and the latest gradient, or masked weights
    assert set(scores) == set(mask)
