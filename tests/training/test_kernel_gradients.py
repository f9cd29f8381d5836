"""Gradients of kernels by products of matrices."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxticket.training import kernel_gradients
from jaxticket.training.kernel_gradients import kernel_gradient, with_fast_kernel_gradients

pytestmark = [pytest.mark.feature("training")]

NHWC = ("NHWC", "HWIO", "NHWC")


def convolution(images, kernel, strides=(1, 1), padding="SAME", **how):
    return lax.conv_general_dilated(images, kernel, strides, padding, dimension_numbers=NHWC, **how)


def loss(kernel, images, *how, **more):
    return jnp.square(jnp.tanh(convolution(images, kernel, *how, **more))).sum()


def arrays(images=(6, 16, 16, 3), kernel=(3, 3, 3, 4)):
    return jax.random.normal(jax.random.key(0), images), jax.random.normal(jax.random.key(1), kernel)


def assert_same_sums(found, expected):
    """Sums of thousands of terms in another order: what rounding leaves depends on the terms, not on their sum."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-5 * float(jnp.abs(expected).max()))


@pytest.fixture
def of_any_size(monkeypatch):
    monkeypatch.setattr(kernel_gradients, "_FEWEST_POSITIONS", 0)
    monkeypatch.setattr(kernel_gradients, "_FEWEST_MULTIPLICATIONS", 0)


@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize(
    ("window", "strides", "padding", "bytes_at_once"),
    [
        ((3, 3), (1, 1), "SAME", 10_000),  # two images
        ((3, 3), (2, 2), "SAME", 1),  # one image
        ((1, 1), (2, 3), "VALID", 10**9),  # all images
        ((2, 5), (2, 3), ((0, 2), (1, 0)), 10_000),
        ((3, 3), (2, 1), ((-1, 0), (0, -3)), 10**9),  # which crops
    ],
)
def test_it_is_the_gradient_that_jax_gives(window, strides, padding, bytes_at_once, monkeypatch):
    monkeypatch.setattr(kernel_gradients, "_BYTES_AT_ONCE", bytes_at_once)
    images, kernel = arrays((6, 9, 11, 3), (*window, 3, 4))

    def gradient(kernel, images):
        return jax.grad(loss)(kernel, images, strides, padding)

    jitted = jax.jit(with_fast_kernel_gradients(gradient))
    assert "dot_general" in str(jax.make_jaxpr(jitted)(kernel, images))
    assert_same_sums(jitted(kernel, images), jax.jit(gradient)(kernel, images))


def test_products_by_hand():
    images, kernel = arrays((2, 5, 5, 1), (2, 2, 1, 1))
    gradients = jnp.arange(32.0).reshape(2, 4, 4, 1)
    found = kernel_gradient(images, gradients, (2, 2), (1, 1), ((0, 0), (0, 0)))
    for row, column in itertools.product(range(2), range(2)):
        expected = (np.asarray(images)[:, row : row + 4, column : column + 4] * np.asarray(gradients)).sum()
        np.testing.assert_allclose(found[row, column, 0, 0], expected, rtol=1e-5)
    assert found.shape == kernel.shape


def test_whatever_else_a_function_does_stays():
    """Trees, constants, inner jits, custom derivatives; what is small, grouped or dilated is left to XLA."""
    images, kernel = arrays()
    inner = jax.jit(convolution)

    def function(params, images):
        hidden = jax.nn.relu(inner(images, params["kernel"])) + np.float32(2)
        value, gradients = jax.value_and_grad(lambda p: (inner(hidden, p["other"]) ** 2).mean())(params)
        return {"value": value, "gradients": gradients, "hidden": hidden}

    params = {"kernel": kernel, "other": jnp.ones((3, 3, 4, 2))}
    expected, found = jax.jit(function)(params, images), jax.jit(with_fast_kernel_gradients(function))(params, images)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b), found, expected)
    grouped = jnp.ones((3, 3, 1, 3))
    for how in ({"feature_group_count": 3}, {"feature_group_count": 3, "rhs_dilation": (2, 2)}):

        def gradient(kernel, how=how):
            return jax.grad(loss)(kernel, images, **how)

        program = str(jax.make_jaxpr(with_fast_kernel_gradients(gradient))(grouped))
        assert "dot_general" not in program


@pytest.mark.usefixtures("of_any_size")
@pytest.mark.parametrize("prevent_cse", [True, False])
def test_kernels_under_remat_are_fast_too(prevent_cse):
    images, kernel = arrays()

    def gradient(kernel, images):
        return jax.grad(jax.checkpoint(loss, prevent_cse=prevent_cse))(kernel, images)

    program = str(jax.make_jaxpr(with_fast_kernel_gradients(gradient))(kernel, images))
    assert "dot_general" in program
    # What is computed again is kept separate from what was computed before, as JAX does it.
    assert ("optimization_barrier" in program) == prevent_cse
    found = jax.jit(with_fast_kernel_gradients(gradient))(kernel, images)
    assert_same_sums(found, jax.jit(gradient)(kernel, images))


@pytest.mark.usefixtures("of_any_size")
def test_other_devices_and_replicates():
    """Another device than a CPU gets the convolution; `vmap` acts on what was rewritten."""
    images, kernel = arrays()
    gradient = with_fast_kernel_gradients(lambda kernel, images: jax.grad(loss)(kernel, images))
    traced = jax.jit(gradient).trace(kernel, images)
    for platform, convolutions in (("tpu", 2), ("cpu", 1)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert text.count("stablehlo.convolution") == convolutions
        assert ("stablehlo.while" in text) == (platform == "cpu")
    kernels = jnp.stack([kernel, 2 * kernel])
    together = jax.jit(jax.vmap(gradient, in_axes=(0, None)))(kernels, images)
    alone = jnp.stack([jax.grad(loss)(each, images) for each in kernels])
    assert_same_sums(together, alone)


def test_only_large_ones_are_rewritten():
    for side, batch, rewritten in ((32, 64, True), (32, 8, False), (8, 512, False)):
        shapes = (
            jax.ShapeDtypeStruct((3, 3, 16, 16), "float32"),
            jax.ShapeDtypeStruct((batch, side, side, 16), "float32"),
        )
        program = str(jax.make_jaxpr(with_fast_kernel_gradients(lambda k, x: jax.grad(loss)(k, x)))(*shapes))
        assert ("dot_general" in program) == rewritten
