from dataclasses import dataclass

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jaxticket as jt
from jaxticket.core.errors import ConfigError, MaskError
from jaxticket.core.granularity import UNSTRUCTURED, block, channel, granularity_of, n_of_m, pool_units
from jaxticket.core.pooling import pooled
from jaxticket.core.prune import prune

pytestmark = [pytest.mark.feature("exact pruning")]


def matrix(values):
    return {"w": jnp.asarray(values, jnp.float32)}


def ones(scores):
    return {path: jnp.ones(leaf.shape, bool) for path, leaf in scores.items()}


def bits(mask) -> list:
    return np.asarray(mask["w"]).astype(int).tolist()


# --- which weights form a unit -----------------------------------------------------------------------------------


def test_a_block_is_rows_inputs_by_cols_outputs() -> None:
    scores = matrix(np.arange(24).reshape(4, 6))
    found = prune(ones(scores), scores, sparsity=0.5, granularity=block(2, 3))
    assert bits(found) == [[0] * 6] * 2 + [[1] * 6] * 2
    found = prune(ones(scores), scores, sparsity=0.25, granularity=block(2, 3))
    assert bits(found) == [[0, 0, 0, 1, 1, 1]] * 2 + [[1] * 6] * 2


def test_blocks_at_edge_have_fewer_weights() -> None:
    # Units [2, 2] of 2x2, 2x1, 1x2 and 1x1 weights; the mean of the last is not diluted by what is not there.
    scores = matrix([[1, 1, 2], [1, 1, 2], [3, 3, 9]])
    masks = [bits(prune(ones(scores), scores, sparsity=number / 4, granularity=block(2, 2))) for number in range(5)]
    assert masks[1] == [[0, 0, 1], [0, 0, 1], [1, 1, 1]]
    assert masks[2] == [[0, 0, 0], [0, 0, 0], [1, 1, 1]]
    assert masks[3] == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert masks[4] == [[0] * 3] * 3


def test_matrix_of_convolution_has_row_per_input() -> None:
    scores = {"w": jnp.arange(3 * 3 * 4 * 2, dtype=jnp.float32).reshape(3, 3, 4, 2)}
    kept = np.asarray(prune(ones(scores), scores, rate=0.5, granularity=block(4, 2))["w"])
    # Of nine blocks, one for each position of the kernel, the first four go: round(4.5) is 4.
    np.testing.assert_array_equal(kept.reshape(9, 8).sum(1), [0] * 4 + [8] * 5)


@pytest.mark.parametrize("shape", [(6,), (4, 6), (3, 2, 6)])
def test_a_channel_is_a_slice_of_last_axis(shape) -> None:
    means = np.array([3, 1, 5, 0, 4, 2])
    scores = {"w": jnp.asarray(np.broadcast_to(means, shape), jnp.float32)}
    kept = prune(ones(scores), scores, sparsity=0.5, granularity=channel())["w"]
    np.testing.assert_array_equal(kept, np.broadcast_to(means >= 3, shape))


def test_blocks_larger_than_the_matrix_are_the_matrix() -> None:
    scores = {"a": jnp.full((3, 4), 2.0), "b": jnp.full((3, 4), 1.0)}
    found = prune(ones(scores), scores, rate=0.5, granularity=block(10**9, 10**9))
    assert jt.layer_sparsity(found) == {"a": 0, "b": 1}


def test_a_leaf_of_rank_one_is_a_row() -> None:
    scores = matrix([4, 5, 1, 2, 9])
    assert bits(prune(ones(scores), scores, rate=0.34, granularity=block(8, 2))) == [1, 1, 0, 0, 1]


@pytest.mark.parametrize(("pool", "kept"), [("mean", "011"), ("sum", "101"), ("max", "110")])
def test_unit_is_scored_by_its_kept_weights(pool, kept) -> None:
    scores = matrix([[3, 4, 3], [3, 90, 3], [3, 90, 3.5]])
    # Means 3, 4, 3.25; sums 9, 4, 6.5; maxima 3, 4, 3.5, of the channels without the pruned scores of 90 and one 3.
    mask = {"w": jnp.array([[True, True, False], [True, False, True], [True, False, True]])}
    lowest = {"mean": 0, "sum": 1, "max": 0}[pool]
    found = np.asarray(prune(mask, scores, rate=1 / 3, granularity=channel(pool=pool))["w"])
    expected = np.array(mask["w"])
    expected[:, lowest] = False
    np.testing.assert_array_equal(found, expected)


def test_units_with_any_weight_left_count_as_kept() -> None:
    scores = matrix(np.arange(32).reshape(4, 8))
    sparse = {"w": jnp.asarray(np.arange(32).reshape(4, 8) % 8 != 5)}
    # Seven channels are alive: a rate of 2/7 takes two, a sparsity of 2/8 one more than is gone.
    assert np.asarray(prune(sparse, scores, rate=2 / 7, granularity=channel())["w"]).any(0).sum() == 5
    assert np.asarray(prune(sparse, scores, sparsity=2 / 8, granularity=channel())["w"]).any(0).sum() == 6


def test_blocks_of_one_weight_are_weights() -> None:
    random = np.random.default_rng(0)
    scores = matrix(random.standard_normal((12, 20)))
    mask = {"w": jnp.asarray(random.random((12, 20)) < 0.8)}
    for pool in ("mean", "sum", "max"):
        found = prune(mask, scores, rate=0.3, granularity=block(1, 1, pool=pool))
        assert jt.distance(found, prune(mask, scores, rate=0.3)) == 0


@dataclass(frozen=True)
class InputChannel:
    """What a user may write: all weights of one input."""

    def pool(self, kept, score):
        return kept.any(-1), jnp.where(kept, score, 0).max(-1)

    def expand(self, units, shape):
        return jnp.broadcast_to(units[..., None], shape)


def test_a_granularity_of_the_users_own() -> None:
    scores = matrix([[1, 5], [2, 2], [4, 0], [3, 3]])
    assert bits(prune(ones(scores), scores, sparsity=0.5, granularity=InputChannel())) == [
        [1, 1],
        [0, 0],
        [1, 1],
        [0, 0],
    ]


# --- the score of a unit is the same everywhere ------------------------------------------------------------------


@hypothesis.settings(max_examples=40, deadline=None, derandomize=True, database=None)
@hypothesis.given(seed=st.integers(0, 2**32 - 1), exponent=st.integers(-30, 30), spread=st.integers(0, 30))
def test_sums_are_exact_and_independent_of_order(seed, exponent, spread) -> None:
    random = np.random.default_rng(seed)
    scores = random.standard_normal((300, 4)) * 2.0 ** (exponent + random.integers(-spread, spread + 1, (300, 4)))
    scores = scores.astype(np.float32)
    kept = random.random((300, 4)) < 0.9
    order = random.permutation(300)
    found = [
        np.asarray(jax.jit(pooled, static_argnums=(2, 3))(kept[o], scores[o], (0,), "sum")[1]) for o in (..., order)
    ]
    np.testing.assert_array_equal(*found)
    exact = np.where(kept, scores.astype(np.float64), 0)
    np.testing.assert_allclose(found[0], exact.sum(0), rtol=2e-7, atol=np.abs(exact).max() * 2e-7)


@pytest.mark.parametrize("how", [block(5, 7), channel(), channel(pool="sum")], ids=str)
def test_units_have_same_bits_on_devices(how) -> None:
    random = np.random.default_rng(1)
    scores = {"w": jnp.asarray(random.standard_normal((3, 3, 16, 32)), jnp.float32)}
    mask = {"w": jnp.asarray(random.random((3, 3, 16, 32)) < 0.7)}
    expected = np.asarray(pool_units(mask, scores, how)[1]["w"])
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    spread = NamedSharding(mesh, PartitionSpec(None, None, "data", "model"))
    on_devices = pool_units(*jax.device_put((mask, scores), spread), how)[1]["w"]
    np.testing.assert_array_equal(on_devices, expected)
    np.testing.assert_array_equal(jax.jit(lambda s: pool_units(mask, s, how)[1]["w"])(scores), expected)


def test_channels_are_pooled_where_their_weights_lie() -> None:
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    spread = NamedSharding(mesh, PartitionSpec(None, None, "data", "model"))
    scores = {"w": jnp.ones((3, 3, 16, 32), jnp.float32, device=spread)}
    mask = {"w": jnp.ones((3, 3, 16, 32), bool, device=spread)}
    program = pool_units.lower(mask, scores, channel()).compile().as_text()
    assert "all-reduce" in program
    for moves in ("all-gather", "all-to-all", "collective-permute"):
        assert moves not in program


def test_infinite_scores_and_sums_beyond_float32() -> None:
    rows = [[np.inf, 1], [-np.inf, 1], [np.inf, -np.inf], [3e38, 3e38], [3e38, -3e38], [7, np.nan]]
    scores = jnp.asarray(rows, jnp.float32)
    kept = jnp.ones(scores.shape, bool)
    np.testing.assert_allclose(pooled(kept, scores, (1,), "mean")[1], [np.inf, -np.inf, np.nan, 3e38, 0, np.nan])
    np.testing.assert_allclose(pooled(kept, scores, (1,), "sum")[1], [np.inf, -np.inf, np.nan, np.inf, 0, np.nan])
    np.testing.assert_allclose(pooled(kept, scores, (1,), "max")[1], [np.inf, 1, np.inf, 3e38, 3e38, np.nan])
    np.testing.assert_allclose(pooled(scores < 0, scores, (1,), "mean")[1][1:3], -np.inf)


def test_float64_scores_are_pooled_as_such() -> None:
    with jax.enable_x64(True):
        scores = {"w": 1 + 1e-12 * jnp.array([[3.0, 1.0, 2.0]] * 4, jnp.float64)}
        assert bits(prune(ones(scores), scores, rate=1 / 3, granularity=channel())) == [[1, 0, 1]] * 4
        column = {"w": scores["w"][:1].T.repeat(2, axis=1)}
        assert bits(prune(ones(column), column, granularity=n_of_m(1, 3))) == [[1, 1], [0, 0], [0, 0]]


# --- n of m ------------------------------------------------------------------------------------------------------


def test_n_of_m_keeps_best_of_m() -> None:
    scores = matrix([[4, 1], [3, 2], [2, 3], [1, 4], [0, 7], [5, 7], [5, 7], [0, 7]])
    assert bits(prune(ones(scores), scores, granularity=n_of_m(2, 4))) == [
        [1, 0], [1, 0], [0, 1], [0, 1], [0, 0], [1, 0], [1, 1], [0, 1],
    ]  # fmt: skip


def test_n_of_m_of_convolution_follows_its_inputs() -> None:
    scores = {"w": jnp.asarray(np.random.default_rng(2).standard_normal((3, 3, 8, 5)), jnp.float32)}
    kept = np.asarray(prune(ones(scores), scores, granularity=n_of_m(1, 4))["w"]).reshape(9, 2, 4, 5)
    np.testing.assert_array_equal(kept.sum(2), 1)
    best = np.asarray(scores["w"]).reshape(9, 2, 4, 5).argmax(2)
    np.testing.assert_array_equal(kept.argmax(2), best)


def test_n_of_m_leaves_what_is_sparser() -> None:
    scores = matrix([[9], [1], [2], [3], [9], [9], [9], [1]])
    mask = {"w": jnp.array([[0], [1], [1], [1], [0], [0], [0], [1]], bool)}
    once = prune(mask, scores, granularity=n_of_m(2, 4))
    assert bits(once) == [[0], [0], [1], [1], [0], [0], [0], [1]]
    assert jt.distance(prune(once, scores, granularity=n_of_m(2, 4)), once) == 0
    assert jt.distance(prune(mask, scores, granularity=n_of_m(4, 4)), mask) == 0


def test_n_of_m_ranks_special_floats_like_others() -> None:
    scores = matrix([[0.0], [-0.0], [-np.inf], [0.0], [1e-45], [2e-45], [-1e-45], [0.0]])
    assert bits(prune(ones(scores), scores, granularity=n_of_m(2, 4))) == [[0], [1], [0], [1], [1], [1], [0], [0]]


# --- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: block(0, 4), "rows=0"),
        (lambda: block(4, -1), "cols=-1"),
        (lambda: block(4, 4, pool="median"), "pool='median'.*'mean', 'sum', 'max'"),
        (lambda: channel(pool="min"), "pool='min'"),
        (lambda: n_of_m(5, 4), "n=5, m=4"),
        (lambda: n_of_m(0, 4), "n=0"),
        (lambda: granularity_of("block"), "granularity='block': must be 'unstructured'.* or .*, with any numbers"),
        (lambda: granularity_of("block:0x2"), "granularity='block:0x2'"),
    ],
)
def test_an_impossible_granularity_is_named(make, message) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("shape", "how", "message"),
    [
        ((4, 4), {"granularity": n_of_m(2, 4), "rate": 0.5}, r"rate=0\.5 with NOfM\(n=2, m=4\)"),
        ((4, 4), {"granularity": n_of_m(2, 4), "sparsity": 0.5}, r"sparsity=0\.5"),
        ((4, 4), {"granularity": n_of_m(2, 4), "scope": "layer"}, "scope='layer'"),
        ((4, 4), {"granularity": n_of_m(2, 4), "max_layer_sparsity": 0.9}, r"max_layer_sparsity=0\.9"),
        ((6, 4), {"granularity": n_of_m(2, 4)}, "'w' .* has 6 inputs.*multiple of 4"),
        ((8,), {"granularity": n_of_m(2, 4)}, "'w' .* has no input axis"),
    ],
)
def test_a_demand_that_does_not_fit_is_named(shape, how, message) -> None:
    scores = {"w": jnp.ones(shape, jnp.float32)}
    with pytest.raises(MaskError, match=message):
        prune(ones(scores), scores, **how)


@pytest.mark.parametrize("how", [{"granularity": n_of_m(2, 4)}, {"granularity": channel(), "rate": 0.5}], ids=str)
def test_nan_is_named_where_the_mask_keeps_it(how) -> None:
    scores = {"a": jnp.ones((4, 4), jnp.float32), "b": jnp.ones((4, 4), jnp.float32).at[1, 2].set(jnp.nan)}
    with pytest.raises(MaskError, match=r"'b'.* NaN for 1 "):
        prune(ones(scores), scores, **how)
    prune(ones(scores) | {"b": jnp.ones((4, 4), bool).at[1, 2].set(False)}, scores, **how)


def test_unstructured_is_the_default() -> None:
    scores = matrix(np.arange(6).reshape(2, 3))
    found = prune(ones(scores), scores, rate=0.5, granularity=UNSTRUCTURED)
    assert jt.distance(found, prune(ones(scores), scores, rate=0.5)) == 0
