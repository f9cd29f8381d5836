"""Refill: as many whole channels as the survivors would fill, the best ones."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxticket as jt
from jaxticket.core.errors import MaskError
from jaxticket.structure.matrix import from_matrix, to_matrix
from jaxticket.structure.refill import channels_to_keep

pytestmark = [pytest.mark.feature("refill and regroup"), pytest.mark.smoke]


def dense(rows) -> jax.Array:
    """A kernel [inputs, outputs] from rows of output channels."""
    return jnp.asarray(np.array(rows).T)


def filled(mask) -> list[int]:
    """The channels that are kept whole; no other channel keeps anything."""
    kept = np.asarray(mask["fc/kernel"])
    whole = kept.all(axis=tuple(range(kept.ndim - 1)))
    assert np.array_equal(whole, kept.any(axis=tuple(range(kept.ndim - 1))))
    return np.flatnonzero(whole).tolist()


W = [[0.5, -0.4, 0.3, 0.2], [0.8, 0, 0.1, -0.1], [-0.2, 0.2, -0.2, 0.2], [0.6, -0.6, 0.05, 0]]
M = [[1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 1], [1, 1, 0, 0]]
MASK = {"fc/kernel": dense(M).astype(bool)}
PARAMS = {"fc": {"kernel": dense(W).astype(jnp.float32)}}


def test_the_matrix_view_is_that_of_pytorch():
    kernel = np.arange(3 * 2 * 4 * 5).reshape(3, 2, 4, 5)  # height, width, inputs, outputs
    assert np.array_equal(to_matrix(kernel), kernel.transpose(3, 2, 0, 1).reshape(5, -1))
    assert to_matrix(kernel)[3, 2 * 6 + 1 * 2 + 0] == kernel[1, 0, 2, 3]
    assert to_matrix(np.zeros((3, 3, 1, 8))).shape == (8, 9)  # depthwise
    for shape in ((4, 5), (3, 4, 5), (3, 2, 4, 5)):
        array = np.arange(np.prod(shape)).reshape(shape)
        assert np.array_equal(from_matrix(to_matrix(array), shape), array)


def test_magnitude_of_the_masked_weights_chooses():
    """Refill, magnitude: with the weights that are masked, channel 2 would come before 3 and 1 before 2."""
    new = jt.refill(MASK, jt.magnitude(PARAMS, MASK))
    assert filled(new) == [0, 3]
    assert jt.sparsity(new) == 0.5
    assert isinstance(new["fc/kernel"], jax.Array)


def test_pruned_weights_do_not_count():
    scores = {"fc/kernel": jnp.where(MASK["fc/kernel"], 1.0, jnp.nan).at[2, 1].set(100.0)}
    assert filled(jt.refill(MASK, scores)) == [0, 2]


@pytest.mark.parametrize("per_weight", [True, False])
def test_whole_number_of_channels_is_not_rounded_up(per_weight):
    """Integer budget."""
    mask = {"fc/kernel": dense([[1, 1, 1, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]).astype(bool)}
    each = jnp.asarray([4.0, 3.0, 2.0, 1.0])
    counts = mask["fc/kernel"].sum(0).astype(jnp.float32)
    scores = jnp.broadcast_to(each / counts, (4, 4)) if per_weight else each
    new = jt.refill(mask, {"fc/kernel": scores})
    assert filled(new) == [0, 1]
    assert jt.sparsity(new) == 0.5


def test_of_equal_scores_the_lower_channel_is_kept():
    assert filled(jt.refill(MASK, {"fc/kernel": jnp.asarray([0.0, 1.0, 1.0, 1.0])})) == [1, 2]


def test_survivors_of_one_channel():
    """Extremes: 4 survivors of 8 x 9."""
    kept = np.zeros((8, 9), bool)
    kept[3, :4] = True
    mask = {"fc/kernel": dense(kept)}
    assert filled(jt.refill(mask, {"fc/kernel": jnp.ones((9, 8))})) == [3]


def test_layer_without_survivors_keeps_fewest_channels_and_warns():
    mask = {"fc/kernel": jnp.zeros((9, 8), bool)}
    with pytest.warns(UserWarning, match="'fc/kernel'. keeps no weight"):
        assert filled(jt.refill(mask, {"fc/kernel": jnp.ones((9, 8))})) == [0]
    with pytest.warns(UserWarning, match="3 channels"):
        assert filled(jt.refill(mask, {"fc/kernel": jnp.ones((9, 8))}, min_channels=3)) == [0, 1, 2]


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("fractional", [False, True])
def test_a_full_layer_stays_full(rate, fractional):
    mask = {"fc/kernel": jnp.ones((9, 8), bool)}
    for scores in (jnp.zeros((9, 8)), jnp.arange(8.0)):
        assert jt.sparsity(jt.refill(mask, {"fc/kernel": scores}, rate=rate, fractional=fractional)) == 0


def test_refill_plus_keeps_share_of_other_channels_more():
    """Refill+, and the numbers of channels for other densities."""
    random = np.random.default_rng(0)
    kept = np.zeros(64 * 576, bool)
    kept[random.permutation(kept.size)[:12080]] = True
    mask = {"fc/kernel": jnp.asarray(kept.reshape(3, 3, 64, 64))}
    scores = {"fc/kernel": jnp.asarray(random.random((3, 3, 64, 64), np.float32))}
    chosen = [filled(jt.refill(mask, scores, rate=rate)) for rate in (0, 0.1, 0.2, 0.5, 1)]
    assert [len(channels) for channels in chosen] == [21, 26, 30, 43, 64]
    for fewer, more in itertools.pairwise(chosen):
        assert set(fewer) <= set(more)
    table = {29491: [52, 53, 54, 58, 64], 18432: [32, 36, 39, 48, 64], 4940: [9, 15, 20, 37, 64]}
    for alive, numbers in table.items():
        assert [channels_to_keep(alive, 64, 576, rate) for rate in (0, 0.1, 0.2, 0.5, 1)] == numbers


def test_the_fractional_variant_keeps_exactly_as_many_weights():
    random = np.random.default_rng(1)
    mask = {"conv/kernel": jnp.asarray(random.random((3, 3, 4, 6)) < 0.4)}
    scores = {"conv/kernel": jnp.asarray(random.random((3, 3, 4, 6), np.float32))}
    new = jt.refill(mask, scores, fractional=True)
    alive = jt.count(mask)[0]
    assert jt.count(new)[0] == alive
    rows = to_matrix(new["conv/kernel"])
    counts = rows.sum(axis=1)
    assert sorted(counts)[::-1] == [36] * (alive // 36) + [alive % 36] + [0] * (5 - alive // 36)
    partial = rows[np.flatnonzero(counts == alive % 36)[0]]
    assert partial[: alive % 36].all()
    assert jt.count(jt.refill(mask, scores, rate=0.5, fractional=True))[0] == alive + (216 - alive) // 2


def test_layers_are_independent_and_may_be_numpy():
    masks = {"a": np.asarray(MASK["fc/kernel"]), "b": np.ones((2, 3), bool)}
    scores = {"a": np.array([1.0, 2.0, 3.0, 4.0], np.float32), "b": jnp.zeros(3, jnp.bfloat16)}
    new = jt.refill(masks, scores)
    assert jt.layer_sparsity(new) == {"a": 0.5, "b": 0.0}


def test_the_result_is_laid_out_as_the_mask():
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    mask = {"fc/kernel": jax.device_put(MASK["fc/kernel"], spread)}
    new = jt.refill(mask, jt.magnitude(PARAMS, mask))
    assert new["fc/kernel"].sharding == spread
    assert filled(new) == [0, 3]


ONES = {"fc/kernel": jnp.ones((4, 4))}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jt.refill({}, {}), "no leaves"),
        (lambda: jt.refill(MASK, ONES, rate=1.5), "rate=1.5: must be one number from 0 to 1"),
        (lambda: jt.refill(MASK, ONES, min_channels=0), "min_channels=0: must be a whole number"),
        (lambda: jt.refill(MASK, {}), "the mask has 'fc/kernel', the scores have no such leaf"),
        (lambda: jt.refill(MASK, {**ONES, "x": jnp.ones(1)}), "the scores have 'x'"),
        (lambda: jt.refill(MASK, {"fc/kernel": jnp.ones(3)}), r"has shape \(3,\); it must be \(4, 4\)"),
        (lambda: jt.refill(MASK, {"fc/kernel": jnp.ones(4, int)}), "is not a float array"),
        (lambda: jt.refill(MASK, {"fc/kernel": jnp.asarray([0, 1, jnp.nan, 2])}), "is NaN for channel 2"),
        (lambda: jt.refill({"bn/scale": jnp.ones(4, bool)}, {"bn/scale": jnp.ones(4)}), "needs kernels"),
        (lambda: jax.jit(jt.refill)(MASK, ONES), "the mask is traced"),
        (lambda: jax.jit(lambda scores: jt.refill(MASK, scores))(ONES), "the scores are traced"),
    ],
)
def test_mistakes_are_one_line(call, message):
    with pytest.raises(MaskError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
