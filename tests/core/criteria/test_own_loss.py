"""Criteria from derivatives of losses other than cross entropy of one label for each example."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxticket.core.criteria.grasp import grasp
from jaxticket.core.criteria.movement import movement_of_batches
from jaxticket.core.criteria.obd import obd
from jaxticket.core.criteria.snip import snip
from jaxticket.core.errors import MaskError
from jaxticket.core.types import Params

pytestmark = [pytest.mark.feature("criteria")]

RANDOM = np.random.default_rng(3)
X = jnp.asarray(RANDOM.standard_normal((3, 4)), jnp.float32)
PARAMS = {"fc": {"kernel": jnp.asarray(RANDOM.standard_normal((4, 6)), jnp.float32)}}
FULL = {"fc/kernel": jnp.ones((4, 6), bool)}


def linear(params: Params, x: jax.Array) -> jax.Array:
    return x @ params["fc"]["kernel"]


def per_pixel(params: Params, x: jax.Array) -> jax.Array:
    return linear(params, x).reshape(len(x), 2, 3)


def both(params: Params, x: jax.Array) -> dict[str, jax.Array]:
    return {"where": linear(params, x)[:, :2], "what": linear(params, x)[:, 2:]}


def squared(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    return jnp.square(outputs - targets).mean()


def several(outputs: dict[str, jax.Array], targets: dict[str, jax.Array]) -> jax.Array:
    where = jnp.abs(outputs["where"] - targets["where"]).mean()
    return where + optax.softmax_cross_entropy_with_integer_labels(outputs["what"], targets["what"]).mean()


def plain(outputs: jax.Array, labels: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(outputs, labels).mean()


# Name -> (network, targets, the loss given, the loss it is).
TASKS = {
    "regression": (linear, jnp.asarray(RANDOM.standard_normal((3, 6)), jnp.float32), squared, squared),
    "multi-label": (
        linear,
        jnp.asarray(RANDOM.random((3, 6)) < 0.5, jnp.float32),
        lambda outputs, targets: optax.sigmoid_binary_cross_entropy(outputs, targets).mean(),
        lambda outputs, targets: optax.sigmoid_binary_cross_entropy(outputs, targets).mean(),
    ),
    "per pixel": (per_pixel, jnp.asarray(RANDOM.integers(0, 3, (3, 2))), None, plain),
    "trees": (both, {"where": jnp.ones((3, 2)), "what": jnp.array([0, 3, 1])}, several, several),
}


@pytest.mark.parametrize("task", TASKS)
def test_every_gradient_criterion_takes_any_loss(task: str) -> None:
    network, targets, given, meant = TASKS[task]
    batches = [(X, targets), (2 * X, targets)]

    def loss(kernel):
        return sum(meant(network({"fc": {"kernel": kernel}}, x), labels) for x, labels in batches)

    def of_one(kernel: jax.Array, x: jax.Array, label: jax.Array) -> jax.Array:
        one = jax.tree.map(lambda leaf: leaf[None], (x, label))
        return meant(network({"fc": {"kernel": kernel}}, one[0]), one[1])

    @jax.jit
    def references(kernel):
        each = jax.vmap(jax.grad(of_one), (None, 0, 0))
        return jax.grad(loss)(kernel), jax.hessian(loss)(kernel), sum(each(kernel, *batch) ** 2 for batch in batches)

    kernel = PARAMS["fc"]["kernel"]
    gradient, hessian, squares = references(kernel)
    expected = {
        snip: jnp.abs(kernel * gradient),
        movement_of_batches: -kernel * gradient,
        obd: kernel**2 * squares.sum(0) / 2,
        grasp: kernel * jnp.tensordot(hessian, gradient, 2),
    }
    for criterion, wanted in expected.items():
        more = {"temperature": 1.0} if criterion is grasp else {}
        scores = criterion(network, PARAMS, FULL, batches, loss_fn=given, **more)["fc/kernel"]
        np.testing.assert_allclose(scores, wanted, rtol=1e-4, atol=1e-6, err_msg=criterion.__name__)


MISTAKES = [
    (jnp.ones((3, 6)), None, r"labels float32\[3, 6\]; they must be integer classes .* or give a loss_fn"),
    (jnp.ones((3, 1), int), None, r"logits \[\d, 6\] for labels \[\d, 1\]; they must be \[\d, 1, classes\]"),
    (jnp.ones((3, 6)), lambda outputs, targets: outputs - targets, r"loss_fn returned shape \(\d, 6\)"),
    (jnp.ones((3, 6)), lambda outputs, targets: 1, "loss_fn returned a int; it must return one float"),
    (jnp.ones((2, 6)), squared, r"x \[3, 4\] and labels \[2, 6\]"),
]


@pytest.mark.parametrize(("targets", "loss_fn", "message"), MISTAKES)
def test_targets_that_need_another_loss_are_named(targets, loss_fn, message) -> None:
    for criterion in (snip, grasp, obd, movement_of_batches):
        with pytest.raises(MaskError, match=message) as error:
            criterion(linear, PARAMS, FULL, [(X, targets)], loss_fn=loss_fn)
        assert "\n" not in str(error.value)
