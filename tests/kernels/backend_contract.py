"""What every kernel backend has to do; `check` is run for each that is registered, those of the examples included."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.kernels import BACKENDS, BlockSparse, DenseGroups, block_conv, block_matmul
from jaxticket.kernels.backends.dispatch import unsupported_reason

BLOCK = (16, 128)


def case(dtype, rows=70, inputs=70, outputs=300):
    """x, a weight with an empty, a full and a ragged column of blocks, and a bias."""
    random = np.random.default_rng(0)
    grid = random.random((-(-inputs // BLOCK[0]), -(-outputs // BLOCK[1]))) < 0.5
    grid[:, 0], grid[:, 1] = False, True
    mask = np.kron(grid, np.ones(BLOCK, bool)).astype(bool)[:inputs, :outputs]
    x, weight = (jnp.asarray(random.standard_normal(size), dtype) for size in ((rows, inputs), (inputs, outputs)))
    return x, BlockSparse.from_dense(weight, mask, BLOCK), jnp.asarray(random.standard_normal(outputs), jnp.float32)


def check(name):
    """A backend answers about every weight; what it says that it can, it does: here, or lowered for its device."""
    backend = BACKENDS.get(name)
    here = backend.device in (None, jax.default_backend())
    ran = 0
    for dtype in ("float32", "bfloat16"):
        x, weight, bias = case(dtype)
        groups = DenseGroups.from_dense(np.asarray(weight.to_dense(), np.float32))
        for sparse in (weight, groups):
            for images in (None, 64):
                kernel = sparse if images is None else BlockSparse.from_dense(np.ones((3, 3, 16, 128), np.float32))
                assert isinstance(unsupported_reason(backend, kernel, dtype, images), str | None)
        if unsupported_reason(backend, weight, dtype, None) is None:
            ran += 1
            run = check_values if here else check_lowering
            run(backend, x, weight, bias)
    assert ran, f"{name} can multiply in neither float32 nor bfloat16"
    if here and backend.conv is not None:
        check_convolution(name)


def check_values(backend, x, weight, bias):
    """Values, derivatives and axes that are mapped are those of the dense matmul; bias and activation come first."""
    product = functools.partial(block_matmul, activation=jnp.tanh, backend=backend.name)
    exact = np.asarray(x, np.float64) @ np.asarray(weight.to_dense(), np.float64) + np.asarray(bias, np.float64)
    found = jax.jit(lambda x, w, b: product(x, w, bias=b))(x, weight, bias)
    assert found.dtype == x.dtype
    assert found.shape == exact.shape
    rounding = 2**-8 if x.dtype == jnp.bfloat16 else 1e-5
    np.testing.assert_allclose(np.asarray(found, np.float64), np.tanh(exact), atol=1e-4, rtol=rounding)
    mapped = jax.vmap(lambda x: product(x, weight, bias=bias))(jnp.stack([x, -x]))
    # Compiled alone and within vmap, a sum may be taken in another order.
    np.testing.assert_allclose(
        np.asarray(mapped[0], np.float64), np.asarray(found, np.float64), atol=1e-5, rtol=rounding
    )
    if x.dtype == jnp.float32:

        def loss(x, w, b):
            return (product(x, w, bias=b) ** 2).mean()

        def dense(x, w, b):
            return (jnp.tanh(x @ w.to_dense() + b[None]) ** 2).mean()

        gradients = jax.jit(jax.grad(loss, (0, 1, 2)))(x, weight, bias)
        expected = jax.jit(jax.grad(dense, (0, 1, 2)))(x, weight, bias)
        jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-5), gradients, expected)


def check_lowering(backend, x, weight, bias):
    """A program for its platform, of which only the forward pass is a kernel, and results of the right shape."""
    from jaxticket.kernels import Epilogue

    def product(x, weight, bias):
        return backend.matmul(x, weight, Epilogue(bias, "relu", x.dtype))

    result = jax.eval_shape(product, x, weight, bias)
    assert (result.shape, result.dtype) == ((x.shape[0], weight.shape[1]), x.dtype)
    jax.eval_shape(jax.grad(lambda *arrays: product(*arrays).astype("float32").sum(), (0, 1, 2)), x, weight, bias)
    program = jax.jit(product).trace(x, weight, bias).lower(lowering_platforms=(backend.platform,)).as_text()
    assert program.count("stablehlo.custom_call") == 1


def check_convolution(name):
    random = np.random.default_rng(0)
    kernel = np.where(random.random((3, 3, 8, 16)) < 0.5, random.standard_normal((3, 3, 8, 16)), 0).astype(np.float32)
    x = jnp.asarray(random.standard_normal((64, 6, 6, 8)), jnp.float32)
    found = jax.jit(lambda x, w: block_conv(x, w, strides=2, backend=name))(x, BlockSparse.from_dense(kernel))
    expected = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    np.testing.assert_allclose(found, expected, atol=1e-4)
