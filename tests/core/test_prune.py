import functools
import math
import re

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxticket.core import masks, topk
from jaxticket.core.criteria.magnitude import magnitude
from jaxticket.core.criteria.random import random_scores
from jaxticket.core.errors import MaskError
from jaxticket.core.prune import prune
from jaxticket.core.scope_counts import numbers_to_remove

pytestmark = [pytest.mark.feature("exact pruning")]

# Every test below uses these shapes where it can: compilation is what tests of this kind spend their time on.
SHAPES = {"conv/kernel": (3, 3, 8, 16), "fc1/kernel": (16, 24), "fc2/kernel": (16, 24), "norm/scale": (16,)}
TOTAL = sum(map(math.prod, SHAPES.values()))
SPECS = {
    "conv/kernel": PartitionSpec(None, None, "data", "model"),
    "fc1/kernel": PartitionSpec("data", "model"),
    "fc2/kernel": PartitionSpec("model", "data"),
    "norm/scale": PartitionSpec(("data", "model")),
}


def reference(mask, scores, *, rate=None, sparsity=None, scope="global"):
    """What `prune` must return: a stable sort of what is kept, in NumPy."""
    new = {path: np.array(kept) for path, kept in mask.items()}
    for group in [sorted(mask)] if scope == "global" else [[path] for path in sorted(mask)]:
        kept = np.concatenate([new[path].ravel() for path in group])
        flat = np.concatenate([np.asarray(scores[path]).ravel() for path in group]).astype(np.float64)
        wanted = round(rate * int(kept.sum())) if sparsity is None else round(sparsity * kept.size) - int((~kept).sum())
        alive = np.flatnonzero(kept)
        kept[alive[np.argsort(flat[alive], kind="stable")][: max(wanted, 0)]] = False
        for path, part in zip(group, np.split(kept, np.cumsum([new[p].size for p in group])[:-1]), strict=True):
            new[path] = part.reshape(new[path].shape)
    return new


def assert_same(a, b) -> None:
    assert sorted(a) == sorted(b)
    for path in a:
        assert np.asarray(a[path]).dtype == bool
        np.testing.assert_array_equal(np.asarray(a[path]), np.asarray(b[path]), err_msg=path)


def draw(seed: int, dtype=np.float32) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {path: random.standard_normal(shape).astype(dtype) for path, shape in SHAPES.items()}


def full() -> dict[str, np.ndarray]:
    return {path: np.ones(shape, bool) for path, shape in SHAPES.items()}


def some(seed: int, share: float = 0.5) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {path: random.random(shape) < share for path, shape in SHAPES.items()}


def as_jax(tree):
    return jax.tree.map(jnp.asarray, tree)


@functools.cache
def jitted(scope: str):
    return jax.jit(lambda mask, scores, sparsity: prune(mask, scores, sparsity=sparsity, scope=scope))


def mesh() -> jax.sharding.Mesh:
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def sharded(tree):
    return {path: jax.device_put(leaf, NamedSharding(mesh(), SPECS[path])) for path, leaf in tree.items()}


# --- every criterion in every scope ------------------------------------------------------------------------------

CRITERIA = {
    "magnitude": lambda params, mask: magnitude(params, mask),
    "random": lambda params, mask: random_scores(params, mask, jax.random.key(7)),
}
SCOPES = ["global", "layer"]
in_every_way = pytest.mark.parametrize(
    ("criterion", "scope"), [(c, s) for c in CRITERIA for s in SCOPES], ids=lambda value: value
)


def scored(criterion: str, seed: int = 0):
    mask = as_jax(full())
    return mask, CRITERIA[criterion](as_jax(draw(seed)), mask)


@in_every_way
def test_counts_are_exact_and_masks_nested_down_levels(criterion, scope) -> None:
    mask, scores = scored(criterion)
    for level in range(1, 13):
        before, mask = mask, prune(mask, scores, rate=0.2, scope=scope)
        groups = [list(SHAPES)] if scope == "global" else [[path] for path in SHAPES]
        for group in groups:
            kept_before = sum(int(before[path].sum()) for path in group)
            kept = sum(int(mask[path].sum()) for path in group)
            assert kept == kept_before - round(0.2 * kept_before), level
        assert not any(bool((mask[path] & ~before[path]).any()) for path in mask)


@in_every_way
def test_pruned_weight_never_comes_back(criterion, scope) -> None:
    mask, scores = scored(criterion)
    before = prune(mask, scores, sparsity=0.6, scope=scope)
    after = prune(before, {path: -score for path, score in scores.items()}, sparsity=0.8, scope=scope)
    assert not any(bool((after[path] & ~before[path]).any()) for path in mask)
    assert masks.sparsity(after) == pytest.approx(0.8, abs=1e-3)


@in_every_way
def test_a_mask_that_is_sparser_stays(criterion, scope) -> None:
    mask, scores = scored(criterion)
    sparse = prune(mask, scores, sparsity=0.7, scope=scope)
    assert_same(prune(sparse, scores, sparsity=0.4, scope=scope), sparse)
    assert_same(prune(sparse, scores, sparsity=0.7, scope=scope), sparse)
    assert_same(prune(sparse, scores, rate=0.0, scope=scope), sparse)


@in_every_way
def test_the_order_of_leaves_does_not_matter(criterion, scope) -> None:
    mask, scores = scored(criterion)
    turned = prune(dict(reversed(mask.items())), dict(reversed(scores.items())), sparsity=0.5, scope=scope)
    assert_same(turned, prune(mask, scores, sparsity=0.5, scope=scope))


@in_every_way
def test_jit_gives_the_same_bits(criterion, scope) -> None:
    mask, scores = scored(criterion)
    for sparsity in (0.0, 0.35, 0.9, 1.0):
        assert_same(jitted(scope)(mask, scores, sparsity), prune(mask, scores, sparsity=sparsity, scope=scope))


@in_every_way
def test_devices_give_the_same_bits(criterion, scope) -> None:
    mask, scores = scored(criterion)
    expected = prune(mask, scores, sparsity=0.7, scope=scope)
    for call in (lambda m, s: prune(m, s, sparsity=0.7, scope=scope), lambda m, s: jitted(scope)(m, s, 0.7)):
        found = call(sharded(mask), sharded(scores))
        assert_same(found, expected)
        for path in found:
            assert found[path].sharding.is_equivalent_to(NamedSharding(mesh(), SPECS[path]), found[path].ndim)


@in_every_way
def test_vmap_prunes_every_member_by_itself(criterion, scope) -> None:
    members = [scored(criterion, seed) for seed in (0, 1)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    shares = jnp.array([0.3, 0.8])
    found = jax.vmap(lambda m, s, share: prune(m, s, sparsity=share, scope=scope))(*stacked, shares)
    for i, (mask, scores) in enumerate(members):
        expected = prune(mask, scores, sparsity=shares[i], scope=scope)
        assert_same({path: leaf[i] for path, leaf in found.items()}, expected)


@in_every_way
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_scores_count_as_float32(criterion, scope, dtype) -> None:
    mask, scores = scored(criterion)
    half = {path: score.astype(dtype) for path, score in scores.items()}
    wide = {path: score.astype(jnp.float32) for path, score in half.items()}
    found = prune(mask, half, sparsity=0.45, scope=scope)
    assert_same(found, prune(mask, wide, sparsity=0.45, scope=scope))
    assert_same(found, reference(mask, wide, sparsity=0.45, scope=scope))


@in_every_way
def test_the_same_call_gives_the_same_bits(criterion, scope) -> None:
    assert_same(*(prune(*scored(criterion), sparsity=0.5, scope=scope) for _ in range(2)))


# --- against a stable sort ---------------------------------------------------------------------------------------

KINDS = {
    "normal": lambda random, shape: random.standard_normal(shape),
    "few levels": lambda random, shape: random.integers(-2, 3, shape) * 0.5,
    "all equal": lambda random, shape: np.full(shape, 0.25),
    "signed zeros": lambda random, shape: random.choice([0.0, -0.0], shape),
    "subnormal": lambda random, shape: random.integers(-4, 5, shape) * 1.4e-45,
    "infinite": lambda random, shape: random.choice([np.inf, -np.inf, 3e38, -3e38, 0.0], shape),
    "any bits": lambda random, shape: np.nan_to_num(
        random.integers(0, 2**32, shape, np.uint32).view(np.float32), nan=1.0, posinf=np.inf, neginf=-np.inf
    ),
}


@hypothesis.settings(max_examples=80, deadline=None, derandomize=True, database=None)
@hypothesis.given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=len(SHAPES), max_size=len(SHAPES)),
    seed=st.integers(0, 2**32 - 1),
    kept=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    share=st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1)),
    by=st.sampled_from(["rate", "sparsity"]),
    scope=st.sampled_from(SCOPES),
)
def test_it_is_what_a_stable_sort_would_prune(kinds, seed, kept, share, by, scope) -> None:
    random = np.random.default_rng(seed)
    scores = {
        path: KINDS[kind](random, shape).astype(np.float32)
        for kind, (path, shape) in zip(kinds, SHAPES.items(), strict=True)
    }
    mask = {path: random.random(shape) < kept for path, shape in SHAPES.items()}
    found = prune(mask, scores, **{by: share}, scope=scope)
    assert_same(found, reference(mask, scores, **{by: share}, scope=scope))


def test_float64_scores_are_compared_as_such() -> None:
    with jax.enable_x64(True):
        scores = {path: 1 + 1e-12 * leaf for path, leaf in draw(3, np.float64).items()}
        assert len(np.unique(scores["fc1/kernel"].astype(np.float32))) == 1
        for scope in SCOPES:
            found = prune(full(), as_jax(scores), sparsity=0.3, scope=scope)
            assert_same(found, reference(full(), scores, sparsity=0.3, scope=scope))


def test_leaves_of_mixed_precision_are_compared_by_value() -> None:
    scores = draw(4)
    mixed = as_jax(scores) | {"conv/kernel": jnp.asarray(scores["conv/kernel"]).astype(jnp.bfloat16)}
    wide = {path: np.asarray(leaf.astype(jnp.float32)) for path, leaf in mixed.items()}
    assert_same(prune(full(), mixed, sparsity=0.5), reference(full(), wide, sparsity=0.5))


def test_ties_go_in_order_of_path_and_index() -> None:
    equal = {path: np.zeros(shape, np.float32) for path, shape in SHAPES.items()}
    mask = some(5)
    for number in (1, 500, 900):
        sparsity = (TOTAL - masks.count(mask)[0] + number) / TOTAL
        expected = reference(mask, equal, sparsity=sparsity)
        assert masks.count(mask)[0] - masks.count(expected)[0] == number
        assert_same(prune(mask, equal, sparsity=sparsity), expected)
        assert_same(prune(sharded(mask), sharded(equal), sparsity=sparsity), expected)


def test_a_rate_may_be_traced() -> None:
    mask, scores = some(6), draw(6)
    found = jax.jit(lambda rate: prune(mask, scores, rate=rate))(0.25)
    assert_same(found, reference(mask, scores, rate=0.25))


# --- numbers of the specifications -------------------------------------------------------------------------------


def one_leaf(values, **how):
    scores = {"w": jnp.abs(jnp.asarray(values, jnp.float32))}
    mask = how.pop("mask", {"w": jnp.ones(len(values), bool)})
    return np.asarray(prune(mask, scores, **how)["w"]).astype(int).tolist()


def test_sanity_check_lth_1_global_mask() -> None:
    weights = {"a": jnp.array([0.9, -0.1, 0.4, -0.05]), "b": jnp.array([0.3, -0.7, 0.02, 0.6, -0.2, 0.15])}
    mask = masks.full_mask(weights, [(".*", True)])
    expected = {0.2: "1110 110111", 0.4: "1010 110110", 0.5: "1010 110100", 0.6: "1010 010100"}
    for sparsity, bits in expected.items():
        found = prune(mask, magnitude(weights, mask), sparsity=sparsity)
        assert " ".join("".join(str(int(bit)) for bit in found[path]) for path in "ab") == bits


def test_sanity_check_lth_3_ties() -> None:
    assert one_leaf([1, 1, 2, 3], sparsity=0.25) == [0, 1, 1, 1]
    assert one_leaf([1, 1, 2, 3], sparsity=0.25, scope="layer") == [0, 1, 1, 1]
    assert one_leaf([1, 1, 2, 3], sparsity=0.5) == [0, 0, 1, 1]


def uniform(size: int) -> dict[str, jax.Array]:
    return {"w": jnp.asarray(np.random.default_rng(size).random(size, np.float32))}


def test_sanity_check_lth_4_counts() -> None:
    size = 269_824
    scores, mask = uniform(size), {"w": jnp.ones(size, bool)}
    pruned = {}
    for sparsity in (0.2, 0.59, 0.832, 0.914, 0.945, 0.956):
        mask = prune(mask, scores, sparsity=sparsity)
        pruned[sparsity] = size - masks.count(mask)[0]
    assert pruned == {0.2: 53965, 0.59: 159196, 0.832: 224494, 0.914: 246619, 0.945: 254984, 0.956: 257952}


@pytest.mark.parametrize(
    ("size", "levels"),
    [
        (1000, [800, 640, 512, 410, 328, 262, 210, 168, 134, 107]),
        (266_200, [212960, 170368, 136294, 109035, 87228, 69782, 55826, 44661, 35729, 28583]),
    ],
)
def test_structure_lth_t2_survivors_of_iterative_pruning(size, levels) -> None:
    scores, mask = uniform(size), {"w": jnp.ones(size, bool)}
    survivors = []
    for _ in levels:
        mask = prune(mask, scores, rate=0.2)
        survivors.append(masks.count(mask)[0])
    assert survivors == levels


@pytest.mark.parametrize(
    "levels",
    [
        [11157504, 8926003, 7140802, 5712642, 4570114, 3656091, 2924873, 2339898, 1871918, 1497534, 1198027],
        [14710464, 11768371, 9414697, 7531758, 6025406, 4820325, 3856260, 3085008, 2468006, 1974405, 1579524],
        [1853440, 1482752, 1186202, 948962, 759170, 607336, 485869, 388695, 310956, 248765, 199012],
    ],
    ids=["resnet18", "vgg16", "wrn32"],
)
def test_structure_lth_2_1_survivors(levels) -> None:
    kept = np.array([levels[0]], np.uint32)
    for survivors in levels[1:]:
        kept = kept - np.asarray(numbers_to_remove(kept, (levels[0],), rate=0.2))
        assert kept == survivors


def test_early_bird_1_our_masks_of_batch_norm_scales() -> None:
    gamma = [0.9, -0.1, 0.5, 0.3, -0.2]
    masks_by_share = {share: one_leaf(gamma, sparsity=share) for share in (0.3, 0.4, 0.5, 0.7)}
    two = [1, 0, 1, 1, 0]
    assert masks_by_share == {0.3: two, 0.4: two, 0.5: two, 0.7: [1, 0, 0, 0, 0]}


def test_early_bird_2_equal_scales() -> None:
    assert one_leaf([0.5] * 6, sparsity=0.3) == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        (1360, {0.1: 136, 0.3: 408, 0.5: 680, 0.7: 952, 0.9: 1224}),
        (4224, {0.1: 422, 0.3: 1267, 0.5: 2112, 0.7: 2957}),
    ],
)
def test_early_bird_3_counts(size, counts) -> None:
    scores, mask = uniform(size), {"w": jnp.ones(size, bool)}
    found = {share: size - masks.count(prune(mask, scores, sparsity=share))[0] for share in counts}
    assert found == counts


def test_tost_1_exact_density_and_ties() -> None:
    assert one_leaf([1, 2, 2, 3, 4], sparsity=0.4) == [0, 0, 1, 1, 1]
    assert one_leaf([0, 0, 0, 0, 5, 6], sparsity=0.5) == [0, 0, 0, 1, 1, 1]
    assert [sum(one_leaf(range(10), sparsity=1 - density)) for density in (0.9, 0.8)] == [9, 8]


def test_tost_17_a_rate_is_of_what_is_alive() -> None:
    alive = {"w": jnp.arange(100) >= 20}
    assert sum(one_leaf(range(100), mask=alive, rate=0.2)) == 64


# --- how it is done ----------------------------------------------------------------------------------------------


def collective_sizes(compiled: str) -> list[int]:
    """The number of elements in every result of a collective operation of a compiled program."""
    names = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter|collective-broadcast"
    lines = re.findall(rf"= (.*?) (?:{names})(?:-start)?\(", compiled)
    shapes = [shape for line in lines for shape in re.findall(r"\w+\[([\d,]*)\]", line)]
    return [math.prod(int(n) for n in shape.split(",") if n) for shape in shapes]


@pytest.mark.parametrize("scope", SCOPES)
def test_only_counts_travel_between_devices(scope) -> None:
    mask, scores = sharded(full()), sharded(draw(0))
    traced = jitted(scope).lower(mask, scores, 0.5).compile().as_text()
    layout = topk.group_layout(scores, together=scope == "global")
    keys, _, _ = topk.ordered_keys(mask, scores, layout)
    numbers = np.zeros(len(layout.sizes), np.uint32)
    eager = [
        topk.ordered_keys.lower(mask, scores, layout).compile().as_text(),
        topk.prune_lowest_k.lower(mask, keys, numbers, layout).compile().as_text(),
    ]
    for program in (traced, *eager):
        sizes = collective_sizes(program)
        assert sizes
        # A count per leaf (or group), bound and device at the most; the smallest sharded matrix has 384 weights.
        assert max(sizes) <= 8 * len(SHAPES)
    assert "sort(" not in traced


def test_search_makes_no_copy_of_positions() -> None:
    scores = as_jax(draw(0))
    layout = topk.group_layout(scores, together=True)
    keys, _, _ = topk.ordered_keys(full(), scores, layout)
    compiled = topk.prune_lowest_k.lower(full(), keys, np.zeros(1, np.uint32), layout).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * TOTAL


def test_leaves_of_one_shape_are_counted_together() -> None:
    scores = {f"layer{i}/kernel": np.broadcast_to(np.float32(0), (2**11, 2**10)) for i in range(6)}
    layout = topk.group_layout(scores, together=True)
    assert [len(stack) for stack in layout.stacks] == [4, 2]
    assert [slot.first for slot in layout.slots] == [i * 2**21 for i in range(6)]


def test_pruning_compiles_once_for_all_levels() -> None:
    mask, scores = as_jax(full()), as_jax(draw(1))
    prune(mask, scores, rate=0.1)
    before = topk.prune_lowest_k._cache_size(), topk.ordered_keys._cache_size()
    for rate in (0.2, 0.3):
        mask = prune(mask, scores, rate=rate)
    assert (topk.prune_lowest_k._cache_size(), topk.ordered_keys._cache_size()) == before


# --- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({}, "exactly one"),
        ({"rate": 0.2, "sparsity": 0.2}, "exactly one"),
        ({"rate": 1.2}, r"rate=1\.2"),
        ({"sparsity": -0.1}, r"sparsity=-0\.1"),
        ({"sparsity": math.nan}, "sparsity=nan"),
        ({"sparsity": np.array([0.1, 0.2])}, "sparsity="),
        ({"rate": "much"}, "rate='much'"),
        ({"rate": 0.2, "scope": "local"}, "scope='local'.*'global', 'layer'"),
    ],
)
def test_an_impossible_demand_is_named(how, message) -> None:
    with pytest.raises(MaskError, match=message):
        prune(full(), draw(0), **how)


def without(tree, path):
    return {other: leaf for other, leaf in tree.items() if other != path}


@pytest.mark.parametrize(
    ("mask", "scores", "message"),
    [
        (full(), without(draw(0), "fc1/kernel"), "'fc1/kernel'"),
        (without(full(), "fc1/kernel"), draw(0), "'fc1/kernel'"),
        (full(), draw(0) | {"fc1/kernel": np.zeros((24, 16), np.float32)}, r"'fc1/kernel'.*\(16, 24\).*\(24, 16\)"),
        (full(), draw(0) | {"fc1/kernel": np.zeros((16, 24), np.int32)}, "'fc1/kernel'.*int32"),
        (full() | {"fc1/kernel": np.ones((16, 24), np.float32)}, draw(0), "'fc1/kernel'.*float32"),
        ({}, {}, "no leaves"),
    ],
)
def test_what_does_not_fit_is_named(mask, scores, message) -> None:
    with pytest.raises(MaskError, match=message):
        prune(mask, scores, rate=0.2)


@pytest.mark.parametrize("nan", [np.nan, -np.nan])
def test_nan_scores_are_named(nan) -> None:
    scores = draw(0)
    scores["fc2/kernel"][3, 4:6] = nan
    with pytest.raises(MaskError, match=r"'fc2/kernel'.* 2 "):
        prune(full(), scores, rate=0.2)


@pytest.mark.parametrize("nan", [np.nan, -np.nan])
def test_unnamed_nan_ranks_above_infinity(nan) -> None:
    scores = draw(0)
    scores["norm/scale"][:8] = nan
    scores["norm/scale"][8:] = np.inf
    found = jitted("global")(full(), scores, (TOTAL - 8) / TOTAL)
    assert int(sum(kept.sum() for kept in found.values())) == 8
    np.testing.assert_array_equal(found["norm/scale"], np.arange(16) < 8)


def test_too_many_weights_to_compare_are_refused() -> None:
    shape = (2**16, 2**16)
    with pytest.raises(MaskError, match=r"4294967296.*scope='layer'"):
        prune({"w": np.broadcast_to(True, shape)}, {"w": np.broadcast_to(np.float32(0), shape)}, rate=0.5)


def test_structure_lth_t1_global_rounds() -> None:
    weights = {"a": np.array([[0.9, -0.1, 0.3], [0.05, -0.7, 0.2]]), "b": np.array([[0.4, -0.02], [0.15, 0.6]])}
    weights = {path: np.float32(leaf) for path, leaf in weights.items()}
    mask = {path: np.ones(leaf.shape, bool) for path, leaf in weights.items()}
    rounds = [
        ([[1, 1, 1], [0, 1, 1]], [[1, 0], [1, 1]]),
        ([[1, 0, 1], [0, 1, 1]], [[1, 0], [0, 1]]),
        ([[1, 0, 1], [0, 1, 0]], [[1, 0], [0, 1]]),
    ]
    for expected in rounds:
        mask = prune(mask, {path: np.abs(leaf) for path, leaf in weights.items()}, rate=0.2)
        assert [np.asarray(mask[path]).astype(int).tolist() for path in ("a", "b")] == list(expected)


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(MaskError, match="the mask has no leaves, so there is nothing to prune"):
        prune({}, {}, sparsity=0.5)
