"""Every scope with every granularity: one table of rows, each of which passes the whole suite."""

import functools
import math
from fractions import Fraction

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxticket.core.errors import MaskError
from jaxticket.core.granularity import UNSTRUCTURED, block, channel, n_of_m
from jaxticket.core.prune import prune

pytestmark = [pytest.mark.feature("exact pruning")]

# All tests use these shapes: compilation is what they spend their time on.
SHAPES = {"conv/kernel": (3, 3, 8, 16), "fc1/kernel": (16, 24), "fc2/kernel": (16, 24)}
SPECS = {
    "conv/kernel": PartitionSpec(None, None, "data", "model"),
    "fc1/kernel": PartitionSpec("data", "model"),
    "fc2/kernel": PartitionSpec("model", "data"),
}
MOST = 0.75
SCOPES = ("global", "layer", "erk", "rules", "limited")
GRANULARITIES = {"weights": UNSTRUCTURED, "blocks": block(5, 7), "channels": channel()}
ROWS = [(scope, granularity) for scope in SCOPES for granularity in GRANULARITIES] + [("none", "2:4")]
every_row = pytest.mark.parametrize(("scope", "granularity"), ROWS)
# Whole programs take seconds to compile. Scope and granularity do not know of each other, so each has its turn once;
# 'layer' has its own in the tests of selection.
COMPILED = [("global", "blocks"), ("erk", "channels"), ("rules", "weights"), ("limited", "channels"), ("none", "2:4")]
every_part = pytest.mark.parametrize(("scope", "granularity"), COMPILED)


def shares_by_leaf(share) -> list:
    """What the rules of the scope 'rules' give to the leaves in sorted order."""
    return [share, share * 0.5, share * 0.5]


def call(scope: str, granularity: str, mask, scores, share):
    if granularity == "2:4":
        return prune(mask, scores, granularity=n_of_m(2, 4))
    how = {"granularity": GRANULARITIES[granularity]}
    if scope == "rules":
        return prune(mask, scores, scope={"conv/.*": share, ".*": share * 0.5}, **how)
    if scope == "limited":
        return prune(mask, scores, sparsity=share, max_layer_sparsity=MOST, **how)
    return prune(mask, scores, sparsity=share, scope=scope, **how)


# --- the same in plain NumPy -------------------------------------------------------------------------------------


def labels(granularity: str, shape: tuple[int, ...]) -> np.ndarray:
    """The number of the unit that each weight of a leaf belongs to, flat."""
    rows, cols = np.divmod(np.arange(math.prod(shape)), shape[-1])
    if granularity == "channels":
        return cols
    if granularity == "blocks":
        return rows // 5 * -(-shape[-1] // 7) + cols // 7
    return np.arange(math.prod(shape))


def stable_order(scores: np.ndarray, alive: np.ndarray) -> np.ndarray:
    places = np.flatnonzero(alive)
    return places[np.argsort(scores[places], kind="stable")]


def erk_counts(total: int, weights: list[Fraction], most: list[int]) -> list[int]:
    """Layers that would be denser than they are stay as they are, one round after another, as in the paper."""
    full: set[int] = set()
    while True:
        others = [i for i in range(len(most)) if i not in full]
        if not others:
            return most
        level = Fraction(total - sum(most[i] for i in full)) / sum(weights[i] for i in others)
        over = {i for i in others if level * weights[i] > most[i]}
        if not over:
            break
        full |= over
    ideal = [Fraction(most[i]) if i in full else level * weights[i] for i in range(len(most))]
    counts = [math.floor(x) for x in ideal]
    by_remainder = sorted(range(len(most)), key=lambda i: (counts[i] - ideal[i], -i))
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return counts


def reference(scope: str, granularity: str, mask, scores, share):
    """What `prune` must return, or None where it must refuse."""
    paths = sorted(mask)
    if granularity == "2:4":
        new = {}
        for path in paths:
            kept = np.array(mask[path])
            for *others, inputs, outputs in np.ndindex(*kept.shape[:-2], kept.shape[-2] // 4, kept.shape[-1]):
                piece = (*others, slice(4 * inputs, 4 * inputs + 4), outputs)
                row = kept[piece]
                row[stable_order(np.asarray(scores[path])[piece], row)[: max(0, row.sum() - 2)]] = False
            new[path] = kept
        return new
    unit = {path: labels(granularity, SHAPES[path]) for path in paths}
    flat = {path: np.asarray(mask[path]).ravel() for path in paths}
    alive = {path: np.bincount(unit[path], flat[path]) for path in paths}
    pooled = {
        path: np.bincount(unit[path], np.where(flat[path], np.asarray(scores[path]).ravel(), 0)).astype(np.float32)
        / np.maximum(alive[path], 1).astype(np.float32)
        for path in paths
    }
    left = {path: alive[path] > 0 for path in paths}
    kept, sizes = [int(left[path].sum()) for path in paths], [left[path].size for path in paths]
    pruned = sum(sizes) - sum(kept)
    number = max(0, round(share * sum(sizes)) - pruned)
    if scope in ("global", "limited"):
        able = {path: left[path].copy() for path in paths}
        if scope == "limited":
            for path, size in zip(paths, sizes, strict=True):
                best = stable_order(pooled[path], left[path])[::-1][: math.ceil((1 - MOST) * size)]
                able[path][best] = False
        order = stable_order(*(np.concatenate([tree[path] for path in paths]) for tree in (pooled, able)))
        if number > len(order):
            return None
        gone = np.zeros(sum(sizes), bool)
        gone[order[:number]] = True
        for path, part in zip(paths, np.split(gone, np.cumsum(sizes)[:-1]), strict=True):
            left[path] &= ~part
    else:
        if scope == "erk":
            weights = [Fraction(sum(SHAPES[p]) * n, math.prod(SHAPES[p])) for p, n in zip(paths, sizes, strict=True)]
            stay = erk_counts(sum(kept) - number, weights, kept)
        else:
            wanted = [share] * len(paths) if scope == "layer" else shares_by_leaf(share)
            stay = [min(k, n - round(s * n)) for k, n, s in zip(kept, sizes, wanted, strict=True)]
        for path, before, after in zip(paths, kept, stay, strict=True):
            left[path][stable_order(pooled[path], left[path])[: before - after]] = False
    return {path: (flat[path] & left[path][unit[path]]).reshape(SHAPES[path]) for path in paths}


# --- data --------------------------------------------------------------------------------------------------------


def full():
    return {path: jnp.ones(shape, bool) for path, shape in SHAPES.items()}


def whole_scores(seed: int, levels: int = 512):
    """Integers, so that sums are exact and ties many; those of the convolution are so low that it would lose all."""
    random = np.random.default_rng(seed)
    scale = {"conv/kernel": 1, "fc1/kernel": 16, "fc2/kernel": 16}
    return {path: jnp.asarray(scale[path] * random.integers(-4, levels, s), jnp.float32) for path, s in SHAPES.items()}


def real_scores(seed: int):
    random = np.random.default_rng(seed)
    return {path: jnp.asarray(np.abs(random.standard_normal(shape)), jnp.float32) for path, shape in SHAPES.items()}


def sharded(tree):
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    return {path: jax.device_put(leaf, NamedSharding(mesh, SPECS[path])) for path, leaf in tree.items()}


def two(tree):
    return {path: tree[path] for path in ("conv/kernel", "fc1/kernel")}


def assert_same(a, b) -> None:
    assert sorted(a) == sorted(b)
    for path in a:
        assert np.asarray(a[path]).dtype == bool
        np.testing.assert_array_equal(np.asarray(a[path]), np.asarray(b[path]), err_msg=path)


def assert_within(smaller, larger) -> None:
    assert not any(bool((smaller[path] & ~larger[path]).any()) for path in larger)


def assert_spread(found) -> None:
    for path, leaf in sharded(found).items():
        assert found[path].sharding.is_equivalent_to(leaf.sharding, leaf.ndim), path


# --- the suite ---------------------------------------------------------------------------------------------------


@every_row
@hypothesis.settings(max_examples=8, deadline=None, derandomize=True, database=None)
@hypothesis.given(
    seed=st.integers(0, 2**32 - 1),
    levels=st.sampled_from([1, 512]),
    kept=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    share=st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1)),
)
def test_it_is_what_sorting_and_counting_would_give(scope, granularity, seed, levels, kept, share) -> None:
    random = np.random.default_rng(seed)
    mask = {path: jnp.asarray(random.random(shape) < kept) for path, shape in SHAPES.items()}
    scores = whole_scores(seed, levels)
    expected = reference(scope, granularity, mask, scores, share)
    if expected is None:
        with pytest.raises(MaskError, match=r"max_layer_sparsity=0\.75 only"):
            call(scope, granularity, mask, scores, share)
    else:
        assert_same(call(scope, granularity, mask, scores, share), expected)


@every_row
def test_masks_are_nested_whatever_the_scores(scope, granularity) -> None:
    random = np.random.default_rng(7)
    mask = {path: jnp.asarray(random.random(shape) < 0.95) for path, shape in SHAPES.items()}
    for level, share in enumerate((0.1, 0.25, 0.4, 0.55, 0.7)):
        before, scores = mask, {path: (-1) ** level * leaf for path, leaf in whole_scores(level).items()}
        mask = call(scope, granularity, before, scores, share)
        assert_within(mask, before)
        assert_same(mask, reference(scope, granularity, before, scores, share))
        assert_same(call(scope, granularity, mask, scores, share * 0.9), mask)


@every_row
def test_order_of_leaves_does_not_matter(scope, granularity) -> None:
    mask, scores = full(), real_scores(0)
    found = call(scope, granularity, mask, scores, 0.6)
    turned = call(scope, granularity, dict(reversed(mask.items())), dict(reversed(scores.items())), 0.6)
    assert_same(turned, found)
    assert_same(call(scope, granularity, mask, scores, 0.6), found)


@every_row
def test_half_precision_scores_count_as_float32(scope, granularity) -> None:
    half = {path: leaf.astype(jnp.bfloat16) for path, leaf in real_scores(5).items()}
    wide = {path: leaf.astype(jnp.float32) for path, leaf in half.items()}
    assert_same(call(scope, granularity, full(), half, 0.6), call(scope, granularity, full(), wide, 0.6))


@every_row
def test_devices_give_the_same_bits(scope, granularity) -> None:
    mask, scores = two(full()), two(real_scores(6))
    found = call(scope, granularity, sharded(mask), sharded(scores), 0.6)
    assert_same(found, call(scope, granularity, mask, scores, 0.6))
    assert_spread(found)


@pytest.mark.parametrize(("scope", "granularity"), [COMPILED[0], COMPILED[1], COMPILED[3]])
def test_jit_gives_same_bits_on_all_devices(scope, granularity) -> None:
    mask, scores = two(full()), two(real_scores(1))
    jitted = jax.jit(functools.partial(call, scope, granularity))
    for share in (0.3, 0.6):
        expected = call(scope, granularity, mask, scores, share)
        assert_same(jitted(mask, scores, share), expected)
        found = jitted(sharded(mask), sharded(scores), share)
        assert_same(found, expected)
        assert_spread(found)


@every_part
def test_vmap_prunes_every_member_by_itself(scope, granularity) -> None:
    sparse = call(scope, granularity, two(full()), two(real_scores(4)), 0.2)
    members = [(two(full()), two(real_scores(2))), (sparse, two(real_scores(3)))]
    shares = jnp.array([0.3, 0.6])
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    found = jax.jit(jax.vmap(functools.partial(call, scope, granularity)))(*stacked, shares)
    for i, (mask, scores) in enumerate(members):
        expected = call(scope, granularity, mask, scores, float(shares[i]))
        assert_same({path: leaf[i] for path, leaf in found.items()}, expected)
