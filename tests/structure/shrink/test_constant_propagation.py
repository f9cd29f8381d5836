"""What is said to be known of a value is what JAX computes for any input, and marked channels are blocked in time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxticket.structure.shrink.channel_marks import ChannelMarks
from jaxticket.structure.shrink.contractions import padded, row_products, windows
from jaxticket.structure.shrink.partial import known
from jaxticket.structure.shrink.program import program_of
from jaxticket.structure.shrink.removal import check_removal

pytestmark = [pytest.mark.feature("smaller networks (shrink)")]


def followed(fn, w, marked, lost=False):
    """What becomes of channel 1, that of the marked elements of `w`, in `fn(w, x)`."""
    program = program_of(lambda params, x: fn(params["w"], x), {"w": w}, [jax.ShapeDtypeStruct(X, jnp.float32)])
    marks = ChannelMarks()
    leaf = known(w, np.broadcast_to(np.where(marked, marks.number([1]), 0), w.shape))
    return check_removal(program, {"w": leaf._replace(unknown=np.full(w.shape, lost))}, marks)


X = (2, 4, 4, 3)


def conv(x, w, padding="SAME", **how):
    return jax.lax.conv_general_dilated(x, w, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), **how)


@pytest.mark.parametrize(
    ("x", "w", "how"),
    [
        ((2, 7, 6, 3), (3, 2, 3, 4), {"window_strides": (2, 1), "padding": ((1, 0), (2, 1))}),
        ((2, 5, 5, 4), (3, 3, 2, 6), {"window_strides": (1, 1), "padding": "VALID", "feature_group_count": 2}),
        ((1, 6, 6, 4), (3, 3, 1, 8), {"window_strides": (1, 1), "padding": "SAME", "feature_group_count": 4}),
        ((1, 4, 4, 2), (2, 2, 2, 3), {"window_strides": (1, 1), "padding": ((1, 1),) * 2, "lhs_dilation": (2, 2)}),
        ((1, 8, 8, 2), (3, 3, 2, 3), {"window_strides": (2, 2), "padding": ((-1, 2),) * 2, "rhs_dilation": (2, 2)}),
    ],
)
def test_convolutions_are_products_of_rows(x, w, how):
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(size).astype(np.float32) for size in (x, w))

    def fn(x, w):
        return jax.lax.conv_general_dilated(x, w, dimension_numbers=("NHWC", "HWIO", "NHWC"), **how)

    (equation,) = jax.make_jaxpr(fn)(x, w).jaxpr.eqns
    form = row_products(equation.primitive.name, equation.params, x.shape, w.shape)
    found = form.result(np.einsum("bmk,bnk->bmn", form.left(x), form.right(w)))
    np.testing.assert_allclose(found, fn(x, w), rtol=1e-4, atol=1e-5)


def test_matrix_products_are_products_of_rows():
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(size).astype(np.float32) for size in ((2, 3, 4, 5), (2, 6, 4, 5)))

    def fn(x, y):
        return jax.lax.dot_general(x, y, (((3,), (3,)), ((0, 2), (0, 2))))

    (equation,) = jax.make_jaxpr(fn)(x, y).jaxpr.eqns
    form = row_products(equation.primitive.name, equation.params, x.shape, y.shape)
    found = form.result(np.einsum("bmk,bnk->bmn", form.left(x), form.right(y)))
    np.testing.assert_allclose(found, fn(x, y), rtol=1e-4, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-2, 3), st.integers(-2, 3), st.integers(0, 2)), min_size=2, max_size=2))
def test_padding_is_that_of_xla(config):
    x = np.arange(1.0, 31.0, dtype=np.float32).reshape(5, 6)
    expected = jax.eval_shape(lambda x: jax.lax.pad(x, np.float32(0), config), x).shape
    found = padded(x, np.float32(0), config)
    assert found.shape == expected
    reference = np.zeros(tuple(s + (s - 1) * g for s, (_, _, g) in zip(x.shape, config, strict=True)), np.float32)
    reference[:: config[0][2] + 1, :: config[1][2] + 1] = x
    for axis, (low, high, _) in enumerate(config):
        widths = [(0, 0), (0, 0)]
        widths[axis] = (max(low, 0), max(high, 0))
        reference = np.pad(reference, widths)
        size = reference.shape[axis]
        reference = np.take(reference, range(max(-low, 0), size - max(-high, 0)), axis)
    np.testing.assert_array_equal(found, reference)


def test_windows_of_a_pool():
    x = np.arange(12.0).reshape(3, 4)
    found = windows(x, (2, 2), (1, 2), ((0, 0), (0, 0)), (1, 1), (1, 1), 0).sum((2, 3))
    np.testing.assert_array_equal(found, [[10, 18], [26, 34]])


def pooled(x):
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "SAME")


def read(x):
    return x @ jnp.ones((4, 2))


@pytest.mark.parametrize(
    ("fn", "reason"),
    [
        (lambda y, x: read(y), ""),
        (lambda y, x: read(jax.nn.relu(y).mean((1, 2))), ""),
        (lambda y, x: read(jax.nn.gelu(y, approximate=False).max((1, 2))), ""),
        (lambda y, x: read(y * x[..., :1]), ""),
        (lambda y, x: read(jnp.where(x[..., :1] > 0, y, -y)), ""),
        (lambda y, x: read(jnp.where(x[..., :1] > 0, y, 1)), "no constant"),
        (lambda y, x: read(jnp.where(y > 1, x[..., :1], jax.nn.elu(y))), ""),
        (lambda y, x: read(pooled(y)), ""),
        (lambda y, x: y.sum(-1), ""),
        (lambda y, x: (y + 1).sum(-1), "reduce_sum"),
        (lambda y, x: y.max(-1), "reduce_max"),
        (lambda y, x: jnp.sort(y, axis=-1), "sort"),
        (lambda y, x: y, "result"),
        (lambda y, x: read(y + 1), "no bias"),
        (lambda y, x: read(y + x[..., :1]), "no constant"),
        (lambda y, x: conv(jax.nn.sigmoid(y), jnp.ones((3, 3, 4, 2))), "no bias"),
    ],
)
def test_masked_channel_goes_only_if_it_changes_nothing(fn, reason):
    w = np.random.default_rng(0).standard_normal((3, 3, 3, 4)).astype(np.float32)
    w[..., 1] = 0
    with jax.numpy_rank_promotion("allow"):
        blocked = followed(lambda w, x: fn(conv(x, w), x), w, np.arange(4) == 1).blocked
    assert (1 in blocked) == bool(reason)
    assert reason in blocked.get(1, "")


def test_marks_join_and_meet():
    marks = ChannelMarks()
    head, size = marks.number([1]), marks.number([2])
    joined = marks.join((2, 3), [np.array([[head], [0]]), np.array([[0, 0, size]])])
    both = marks.number([1, 2])
    np.testing.assert_array_equal(joined, [[head, head, both], [0, 0, size]])
    np.testing.assert_array_equal(marks.common(joined, [1]), [[head], [0]])
    np.testing.assert_array_equal(marks.common(joined, [0]), [[0, 0, size]])
    marks.block(np.array([both]), "because")
    assert marks.blocked == {1: "because", 2: "because"}
    np.testing.assert_array_equal(marks.lookup([2])[[0, head, size, both]], [False, False, True, True])


def test_unknown_kernels_give_unknown_values():
    w = np.zeros((3, 3, 3, 4), np.float32)
    found = followed(lambda w, x: read(conv(x, w)), w, np.arange(4) == 1, lost=True)
    assert "no constant" in found.blocked[1]
