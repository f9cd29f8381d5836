"""Sparse products against float64 ones of the dense weight, over shapes, dtypes and structures."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxticket.core.errors import ConfigError, MaskError
from jaxticket.kernels import BlockSparse, DenseGroups, block_matmul
from jaxticket.kernels.backends.xla import matmul as xla_matmul

pytestmark = [pytest.mark.feature("sparse kernels")]

BLOCK = (8, 16)
STRUCTURES = ["random", "full", "empty", "one block", "empty column", "twins"]


def case(structure, inputs=37, outputs=50, rows=20, seed=0):
    """x, weight and mask; the mask keeps blocks of 8 x 16, those at the edges cut off."""
    random = np.random.default_rng(seed)
    along, across = -(-inputs // BLOCK[0]), -(-outputs // BLOCK[1])
    grid = random.random((along, across)) < 0.4
    if structure == "full":
        grid[:] = True
    elif structure in ("empty", "one block"):
        grid[:] = False
        grid[1, -1] = structure == "one block"
    elif structure == "empty column":
        grid[:, 1] = False
    elif structure == "twins":
        grid[:, 2] = grid[:, 1]
        grid[0, 1:3] = True
    mask = np.kron(grid, np.ones(BLOCK, bool)).astype(bool)[:inputs, :outputs]
    x, weight = random.standard_normal((rows, inputs)), random.standard_normal((inputs, outputs))
    return jnp.asarray(x, jnp.float32), jnp.asarray(weight, jnp.float32), mask, grid


@functools.partial(jax.jit, static_argnames="activation")
def product_of(x, w, bias=None, activation=None):
    return block_matmul(x, w, bias=bias, activation=activation)


def exact(x, weight, mask):
    return np.asarray(x, np.float64) @ np.where(mask, np.asarray(weight, np.float64), 0)


@pytest.mark.parametrize("kind", [BlockSparse, DenseGroups])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_products_equal_float64(structure, kind):
    x, weight, mask, grid = case(structure)
    sparse = kind.from_dense(weight, mask, BLOCK) if kind is BlockSparse else kind.from_dense(weight, mask)
    np.testing.assert_array_equal(sparse.to_dense(), np.where(mask, weight, 0))
    if kind is BlockSparse:
        assert sparse.density == grid.mean()
    np.testing.assert_allclose(product_of(x, sparse), exact(x, weight, mask), atol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("rows", [1, 600])
def test_dtypes_are_added_up_in_float32(dtype, rows):
    x, weight, mask, _ = case("random", inputs=512, rows=rows)
    x, weight = x.astype(dtype), weight.astype(dtype)
    product = product_of(x, BlockSparse.from_dense(weight, mask, BLOCK))
    assert product.dtype == dtype
    expected = exact(x, weight, mask)
    # One rounding of the result; added up in 16 bits, the errors of some 200 products would be larger.
    error = np.abs(np.asarray(product, np.float64) - expected) / (np.abs(expected) + 0.1)
    assert error.max() < {"bfloat16": 2**-8, "float16": 2**-11, "float32": 1e-4}[dtype] * 1.01


def test_bias_and_activation_come_before_rounding():
    x, weight, mask, _ = case("random")
    sparse, bias = BlockSparse.from_dense(weight, mask, BLOCK), jnp.linspace(-3.0, 3.0, 50)
    expected = exact(x, weight, mask) + np.asarray(bias, np.float64)
    np.testing.assert_allclose(product_of(x, sparse, bias=bias), expected, atol=1e-5)
    relu = product_of(x, sparse, bias=bias, activation="relu")
    np.testing.assert_allclose(relu, np.maximum(expected, 0), atol=1e-5)
    np.testing.assert_allclose(product_of(x, sparse, bias=bias, activation=jnp.tanh), np.tanh(expected), atol=1e-5)
    # 256.5 is no bfloat16; a product that were rounded to 256 first would lose the half.
    half = BlockSparse.from_dense(jnp.ones((3, 1), jnp.bfloat16))
    found = product_of(jnp.asarray([[256, 0.5, 0.0]], jnp.bfloat16), half, bias=jnp.asarray([-256.0]))
    assert float(found[0, 0]) == 0.5


@pytest.mark.parametrize("rows", [(), (3, 2), (2, 129), (600,), (0,)])
def test_any_number_of_rows(rows):
    """None, few, one more than a tile, many tiles; the axes before the inputs stay."""
    _, weight, mask, _ = case("random")
    x = jnp.asarray(np.random.default_rng(1).standard_normal((*rows, 37)), jnp.float32)
    product = product_of(x, BlockSparse.from_dense(weight, mask, BLOCK))
    assert product.shape == (*rows, 50)
    np.testing.assert_allclose(product, exact(x, weight, mask), atol=1e-5)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_many_columns_by_scan_give_the_same(structure, monkeypatch):
    x, weight, mask, _ = case(structure, outputs=150)
    sparse = BlockSparse.from_dense(weight, mask, BLOCK)
    monkeypatch.setattr(xla_matmul, "MOST_UNROLLED", 5)
    scanned = jax.jit(lambda x, w: block_matmul(x, w))  # not the trace of another test
    assert "scan[" in str(jax.make_jaxpr(scanned)(x, sparse))
    np.testing.assert_allclose(scanned(x, sparse), exact(x, weight, mask), atol=1e-5)


def loss_of(product):
    return lambda x, values, bias: (product(x, values) + bias[None]).var()


@pytest.mark.parametrize("scan", [False, True])
@pytest.mark.parametrize("kind", [BlockSparse, DenseGroups])
def test_gradients_equal_those_of_the_masked_dense_product(kind, scan, monkeypatch):
    monkeypatch.setattr(xla_matmul, "MOST_UNROLLED", 2 if scan else 64)
    monkeypatch.setattr(xla_matmul, "TILE_ROWS", 8)
    x, weight, mask, _ = case("empty column")
    sparse = kind.from_dense(weight, mask, BLOCK) if kind is BlockSparse else kind.from_dense(weight, mask)
    bias = jnp.linspace(-1.0, 1.0, 50)
    dense = jax.grad(loss_of(lambda x, w: x @ jnp.where(mask, w, jnp.zeros_like(w))), (0, 1, 2))(x, weight, bias)
    found = jax.jit(jax.grad(loss_of(block_matmul), (0, 1, 2)))(x, sparse, bias)
    assert found[1].structure == sparse.structure
    for one, other in zip((found[0], found[1].to_dense(), found[2]), dense, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    tangent = jax.jvp(lambda x: block_matmul(x, sparse), (x,), (x,))[1]
    np.testing.assert_allclose(tangent, exact(x, weight, mask), atol=1e-5)


def test_a_pytree_with_values_alone():
    """jit, grad, vmap over x, an optimizer's arithmetic and donation see one leaf, and a structure compiles once."""
    x, weight, mask, _ = case("random")
    sparse = BlockSparse.from_dense(weight, mask, BLOCK)
    assert [leaf.shape for leaf in jax.tree.leaves(sparse)] == [sparse.values.shape]
    again = BlockSparse.from_dense(weight * 2, mask, BLOCK)
    assert hash(again.structure) == hash(sparse.structure)
    count = 0

    def counted(x, w):
        nonlocal count
        count += 1
        return block_matmul(x, w)

    jitted = jax.jit(counted)
    one = jitted(x, sparse)
    two = jitted(x, again)
    assert count == 1
    np.testing.assert_allclose(2 * one, two, atol=1e-5)
    step = jax.jit(lambda w: jax.tree.map(lambda v: v - 0.5 * v, w), donate_argnums=0)
    np.testing.assert_allclose(step(again).values, sparse.values)
    assert again.values.is_deleted()
    mapped = jax.jit(jax.vmap(block_matmul, in_axes=(0, None)))(x, sparse)
    np.testing.assert_allclose(mapped, exact(x, weight, mask), atol=1e-5)


def test_adjacent_columns_of_one_pattern_are_one_product():
    x, weight, mask, _ = case("full")
    program = jax.make_jaxpr(block_matmul)(x, BlockSparse.from_dense(weight, mask, BLOCK)).jaxpr
    names = [equation.primitive.name for equation in program.eqns]
    assert names.count("dot_general") == 1
    assert "gather" not in names


def test_errors_name_what_is_wrong():
    x, weight, mask, _ = case("random")
    sparse = BlockSparse.from_dense(weight, mask, BLOCK)
    with pytest.raises(ConfigError, match=r"backend='tpu': not available here; available: .*xla"):
        block_matmul(x, sparse, backend="tpu")
    with pytest.raises(ConfigError, match="activation='gelu'"):
        block_matmul(x, sparse, activation="gelu")
    with pytest.raises(MaskError, match=r"give x \[..., 37\]"):
        block_matmul(x[:, :8], sparse)
    with pytest.raises(MaskError, match="bias has shape"):
        block_matmul(x, sparse, bias=jnp.ones((3,)))
    with pytest.raises(MaskError, match="float array"):
        block_matmul(jnp.ones((2, 37), jnp.int32), sparse)
    with pytest.raises(MaskError, match="give a bool array of the weight's shape"):
        BlockSparse.from_dense(weight, mask[:5])
    with pytest.raises(MaskError, match="two positive numbers"):
        BlockSparse.from_dense(weight, mask, (16, 0))
    with pytest.raises(MaskError, match="outside of jit"):
        jax.jit(BlockSparse.from_dense)(weight)
    with pytest.raises(MaskError, match="no blocks"):
        BlockSparse.from_dense(weight[0])


def test_long_runs_are_copied_short_ones_gathered():
    """The same numbers and derivatives either way; only what is copied has no gather."""
    random = np.random.default_rng(0)
    weight = jnp.asarray(random.standard_normal((128, 32)), jnp.float32)
    x = jnp.asarray(random.standard_normal((24, 128)), jnp.float32)
    slopes = jnp.asarray(random.standard_normal((24, 32)), jnp.float32)
    slope = jax.jit(jax.grad(lambda x, w: (product_of(x, w) * slopes).sum()))
    tangent = jax.jit(lambda x, w: jax.jvp(lambda x: product_of(x, w), (x,), (jnp.cos(x),))[1])
    for rows, gathers in ((16, False), (4, True)):
        mask = np.kron(np.arange(128 // rows)[:, None] % 4 < 2, np.ones((rows, 32), bool)).astype(bool)
        mask[: 2 * rows, 16:] = False  # the second half of the outputs reads less
        packed = BlockSparse.from_dense(weight, mask, (rows, 16))
        assert ("gather" in product_of.lower(x, packed).as_text()) == gathers
        np.testing.assert_allclose(product_of(x, packed), exact(x, weight, mask), atol=1e-5)
        dense = jnp.where(mask, weight, 0)
        np.testing.assert_allclose(slope(x, packed), slopes @ dense.T, atol=1e-4)
        np.testing.assert_allclose(tangent(x, packed), jnp.cos(x) @ dense, atol=1e-4)
