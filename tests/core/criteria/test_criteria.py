import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxticket.core.criteria import Criterion
from jaxticket.core.criteria.bn_scale import bn_scale
from jaxticket.core.criteria.grasp import grasp
from jaxticket.core.criteria.lamp import lamp
from jaxticket.core.criteria.magnitude import magnitude
from jaxticket.core.criteria.movement import movement
from jaxticket.core.criteria.obd import obd
from jaxticket.core.criteria.random import random_scores
from jaxticket.core.criteria.snip import snip, taylor
from jaxticket.core.criteria.synflow import synflow
from jaxticket.core.criteria.wanda import wanda
from jaxticket.core.errors import ConfigError, MaskError
from jaxticket.core.masks import count, full_mask
from jaxticket.core.prune import prune

pytestmark = pytest.mark.feature("criteria")

PARAMS = {"a": {"kernel": jnp.array([[-2.0, 0.5], [-0.0, 3.0]])}, "b": {"kernel": jnp.ones((2, 2))}, "c": jnp.ones(3)}
MASK = {"a/kernel": jnp.array([[True, False], [True, True]]), "b/kernel": jnp.ones((2, 2), bool)}
KEY = jax.random.key(3)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_magnitude_is_float32_absolute_value_of_masks_leaves(dtype) -> None:
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), PARAMS)
    scores = magnitude(params, MASK)
    assert list(scores) == ["a/kernel", "b/kernel"]
    assert scores["a/kernel"].dtype == jnp.float32
    np.testing.assert_array_equal(scores["a/kernel"], [[2, 0.5], [0, 3]])


def test_magnitude_keeps_the_order_of_float64() -> None:
    with jax.enable_x64(True):
        scores = magnitude({"w": jnp.array([1.0, 1.0 + 1e-12], jnp.float64)}, {"w": jnp.ones(2, bool)})
        assert scores["w"].dtype == jnp.float64
        assert scores["w"][0] < scores["w"][1]


def test_random_scores_differ_between_leaves_and_keys() -> None:
    scores = random_scores(PARAMS, MASK, KEY)
    assert scores["a/kernel"].dtype == jnp.float32
    assert not np.array_equal(scores["a/kernel"], scores["b/kernel"])
    again, other = random_scores(PARAMS, MASK, KEY), random_scores(PARAMS, MASK, jax.random.key(4))
    for path in MASK:
        np.testing.assert_array_equal(scores[path], again[path])
        assert not np.array_equal(scores[path], other[path])


def test_random_scores_of_leaf_depend_on_its_path() -> None:
    alone = random_scores(PARAMS, {"b/kernel": MASK["b/kernel"]}, KEY)
    np.testing.assert_array_equal(alone["b/kernel"], random_scores(PARAMS, MASK, KEY)["b/kernel"])
    # Pinned: the hash of a path is the same in every process and version.
    expected = jax.random.uniform(jax.random.fold_in(KEY, np.uint32(0x22090AD2)), (2, 2))
    np.testing.assert_array_equal(alone["b/kernel"], expected)


def test_random_scores_are_uniform() -> None:
    shape = (64, 256)
    scores = random_scores({"w": jnp.zeros(shape)}, {"w": jnp.ones(shape, bool)}, KEY)["w"]
    assert 0 <= float(scores.min()) < 0.001
    assert 0.999 < float(scores.max()) < 1
    assert abs(float(scores.mean()) - 0.5) < 0.01


@pytest.mark.parametrize("criterion", [magnitude, lambda params, mask: random_scores(params, mask, KEY)])
def test_a_mask_that_does_not_fit_is_named(criterion) -> None:
    with pytest.raises(MaskError, match="'d/kernel'"):
        criterion(PARAMS, {"d/kernel": jnp.ones((2, 2), bool)})


def scales(*layers) -> tuple[dict, dict]:
    params = {f"bn{i}": {"scale": jnp.asarray(layer, jnp.float32)} for i, layer in enumerate(layers)}
    return params, full_mask(params, [(r".*/scale", True)])


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.3, [1, 0, 1, 1, 0]), (0.4, [1, 0, 1, 1, 0]), (0.5, [1, 0, 1, 1, 0]), (0.7, [1, 0, 0, 0, 0])],
)
def test_bn_scale_prunes_the_channels_of_lowest_scales(share, expected) -> None:
    params, mask = scales([0.9, -0.1, 0.5, 0.3, -0.2])
    np.testing.assert_array_equal(prune(mask, bn_scale(params, mask), sparsity=share)["bn0/scale"], expected)


def test_bn_scale_prunes_the_first_of_equal_scales() -> None:
    params, mask = scales([0.5] * 6)
    pruned = prune(mask, bn_scale(params, mask), sparsity=0.3)["bn0/scale"]
    np.testing.assert_array_equal(pruned, [0, 0, 1, 1, 1, 1])


def test_bn_scale_competes_globally_with_exact_counts() -> None:
    values = np.random.default_rng(0).permutation(1360).astype(np.float32)
    params, mask = scales(values[:1000], values[1000:])
    found = [count(prune(mask, bn_scale(params, mask), sparsity=share))[0] for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert [1360 - kept for kept in found] == [136, 408, 680, 952, 1224]


def test_bn_scale_refuses_other_leaves() -> None:
    with pytest.raises(MaskError, match=r"'a/kernel'.*normalisation scales"):
        bn_scale(PARAMS, MASK)


def lamp_in_float64(weights, kept) -> np.ndarray:
    squares = np.where(kept, np.asarray(weights, np.float64), 0).ravel() ** 2
    order = np.argsort(squares, kind="stable")
    sums = np.cumsum(squares[order][::-1])[::-1]
    scores = np.zeros(squares.size)
    scores[order] = np.where(squares[order] > 0, squares[order] / np.where(sums > 0, sums, 1), 0)
    return scores.reshape(np.shape(weights))


def test_lamp_is_share_of_squares_not_smaller() -> None:
    # Squares 4, 9, 1, 4: the first 4 counts the second one too, by the order of equal weights.
    scores = lamp({"w": jnp.array([[2.0, -3.0], [1.0, -2.0]])}, {"w": jnp.ones((2, 2), bool)})["w"]
    np.testing.assert_allclose(scores, [[4 / 17, 1], [1 / 18, 4 / 13]], rtol=1e-6)
    # A pruned weight counts nowhere, a layer of zeros has no score, and squares may leave the range of floats.
    params = {"w": jnp.array([3e-30, 4e-30, 9.0]), "zero": jnp.zeros(2)}
    scores = lamp(params, {"w": jnp.array([True, True, False]), "zero": jnp.ones(2, bool)})
    np.testing.assert_allclose(scores["w"], [9 / 25, 1, 0], rtol=1e-6)
    np.testing.assert_array_equal(scores["zero"], [0, 0])


def test_lamp_prunes_a_layer_in_order_of_magnitudes() -> None:
    random = np.random.default_rng(1)
    # Rounded, so that there are ties by the hundred.
    params = {
        name: random.standard_normal((40, 50)).round(2).astype(np.float32) * scale
        for name, scale in [("a", 1), ("b", 8)]
    }
    mask = {name: random.random((40, 50)) < 0.7 for name in params}
    scores = lamp(params, mask)
    expected = {name: lamp_in_float64(params[name], mask[name]) for name in params}
    for name in params:
        np.testing.assert_allclose(scores[name], expected[name], rtol=1e-5)
        ascending = np.asarray(scores[name])[mask[name]][np.argsort(np.abs(params[name][mask[name]]), kind="stable")]
        assert (np.diff(ascending) >= 0).all()
        assert ascending[-1] == 1
    ours = prune(mask, scores, sparsity=0.9)
    theirs = prune(mask, {name: score.astype(np.float32) for name, score in expected.items()}, sparsity=0.9)
    for name in params:
        np.testing.assert_array_equal(ours[name], theirs[name])


# The contract of all criteria, on a network of two layers with a normalisation between them.


def network(params, x):
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)
    y = x @ wide["fc1"]["kernel"] * wide["norm"]["scale"][None] + wide["norm"]["bias"][None]
    return jax.nn.relu(y) @ wide["head"]["kernel"]


def draw(seed: int = 0) -> dict:
    random = np.random.default_rng(seed)

    def normal(*shape):
        return jnp.asarray(random.standard_normal(shape), jnp.float32)

    norm = {"scale": normal(16), "bias": normal(16)}
    return {"fc1": {"kernel": normal(8, 16)}, "head": {"kernel": normal(16, 8)}, "norm": norm}


WEIGHTS = draw()
KEPT = {
    "fc1/kernel": jnp.asarray(np.random.default_rng(2).random((8, 16)) < 0.8),
    "head/kernel": jnp.asarray(np.random.default_rng(3).random((16, 8)) < 0.8),
}
SCALES = {"norm/scale": jnp.arange(16) > 2}
BATCHES = [
    (np.random.default_rng(i).standard_normal((8, 8)).astype(np.float32), np.arange(8) % (i + 3)) for i in range(2)
]
NORMS = {"fc1/kernel": jnp.arange(8.0), "head/kernel": jnp.arange(16.0)}
GRADIENTS = draw(1)

CRITERIA = {
    "magnitude": (magnitude, KEPT),
    "random": (lambda params, mask: random_scores(params, mask, KEY), KEPT),
    "bn_scale": (bn_scale, SCALES),
    "lamp": (lamp, KEPT),
    "snip": (lambda params, mask: snip(network, params, mask, BATCHES), KEPT),
    "taylor": (lambda params, mask: taylor(network, params, mask, BATCHES), KEPT),
    "snip_per_batch": (lambda params, mask: snip(network, params, mask, BATCHES, per_batch=True), KEPT),
    "grasp": (lambda params, mask: grasp(network, params, mask, BATCHES, temperature=2.0), KEPT),
    "obd": (lambda params, mask: obd(network, params, mask, BATCHES, chunk=3), KEPT),
    "movement": (lambda params, mask: movement(params, mask, GRADIENTS), KEPT),
    "synflow": (lambda params, mask: synflow(network, params, mask, (1, 8)), KEPT),
    "synflow_scale": (lambda params, mask: synflow(network, params, mask, (1, 8)), SCALES),
    "wanda": (lambda params, mask: wanda(params, mask, NORMS), KEPT),
}


def assert_close(a, b, rtol=2e-5, atol=1e-6) -> None:
    assert sorted(a) == sorted(b)
    for path in a:
        scale = float(np.abs(np.asarray(b[path])).max())
        np.testing.assert_allclose(a[path], b[path], rtol=rtol, atol=atol * scale, err_msg=path)


@pytest.mark.parametrize("name", CRITERIA)
def test_contract(name) -> None:
    criterion, mask = CRITERIA[name]
    scores = criterion(WEIGHTS, mask)
    # Keys, shapes and dtype; a score for every weight, not all the same.
    assert sorted(scores) == sorted(mask)
    for path, score in scores.items():
        assert (score.shape, score.dtype) == (mask[path].shape, jnp.float32)
        assert np.isfinite(score).all()
        assert len(np.unique(score)) > 2
    # The same again, to the bit, whatever the order of leaves.
    turned = {module: dict(reversed(leaves.items())) for module, leaves in reversed(WEIGHTS.items())}
    again = criterion(turned, dict(reversed(mask.items())))
    for path in mask:
        np.testing.assert_array_equal(scores[path], again[path])
    # The same under jit, and under vmap over networks.
    assert_close(jax.jit(criterion)(WEIGHTS, mask), scores)
    other = draw(5)
    stacked = jax.vmap(lambda params: criterion(params, mask))(
        jax.tree.map(lambda *two: jnp.stack(two), WEIGHTS, other)
    )
    assert_close({path: score[0] for path, score in stacked.items()}, scores)
    assert_close({path: score[1] for path, score in stacked.items()}, criterion(other, mask))
    # Half precision gives float32 scores: those of the same weights in float32, up to the rounding of gradients.
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), WEIGHTS)
    found = criterion(half, mask)
    assert {score.dtype for score in found.values()} == {jnp.dtype(jnp.float32)}
    assert_close(found, criterion(jax.tree.map(lambda leaf: leaf.astype(jnp.float32), half), mask), rtol=0.1, atol=0.02)


@pytest.mark.parametrize("name", CRITERIA)
def test_contract_on_eight_devices(name) -> None:
    criterion, mask = CRITERIA[name]
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    spread = NamedSharding(mesh, PartitionSpec("data"))
    params = jax.tree.map(lambda leaf: jax.device_put(leaf, spread), WEIGHTS)
    sharded = {path: jax.device_put(kept, spread) for path, kept in mask.items()}
    assert_close(criterion(params, sharded), criterion(WEIGHTS, mask))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"statistics": "bach"}, r"statistics='bach': must be one of batch, running, initial; did you mean 'batch'\?"),
        ({"ranks": "weight"}, r"ranks='weight': must be one of weights, scales; did you mean 'weights'\?"),
        ({"needs": ("dat",)}, r"needs='dat': must be one of .*; did you mean 'data'\?"),
        ({"needs": "data"}, r"needs='data': must be a tuple, such as \('data',\)"),
        ({"scores": 5}, r"scores=5: must be a function, or where one is, package\.module:function"),
        ({"prunes": None}, "prunes=None: must be a function"),
    ],
)
def test_a_criterion_says_what_is_known(said, message):
    with pytest.raises(ConfigError, match=f"criterion 'own': {message}"):
        Criterion(**{"name": "own", "scores": "a:b", **said})
