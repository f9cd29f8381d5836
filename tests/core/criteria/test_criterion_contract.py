"""Every criterion with every scope and granularity: exact counts, nested, never revived, in any order of leaves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxticket as jt
from jaxticket.core.errors import MaskError
from jaxticket.core.granularity import granularity_of, pool_units
from jaxticket.core.lazy import load_object
from jaxticket.core.masks import count
from jaxticket.core.scope_counts import UnitCounts

pytestmark = [pytest.mark.feature("criteria")]

RNG = np.random.default_rng(0)
PARAMS = {
    "fc1": {"kernel": jnp.asarray(RNG.normal(size=(16, 24)), jnp.float32), "bias": jnp.zeros(24)},
    "fc2": {"kernel": jnp.asarray(RNG.normal(size=(24, 8)), jnp.float32), "bias": jnp.zeros(8)},
    "head": {"kernel": jnp.asarray(RNG.normal(size=(8, 4)), jnp.float32), "bias": jnp.zeros(4)},
}
FULL = jt.full_mask(PARAMS)
BATCHES = [(jnp.asarray(RNG.normal(size=(12, 16)), jnp.float32), jnp.arange(12) % 4)]


def network(params, x):
    for name in ("fc1", "fc2"):
        x = jax.nn.relu(x @ params[name]["kernel"] + params[name]["bias"][None])
    return x @ params["head"]["kernel"] + params["head"]["bias"][None]


# What the criteria need; those that prune by themselves, or rank channels, have suites of their own.
BROUGHT = {
    "key": jax.random.key(0),
    "apply_fn": network,
    "batches": BATCHES,
    "loss_fn": None,  # cross entropy
    "input_norms": {"fc1/kernel": jnp.ones(16), "fc2/kernel": jnp.arange(24.0)},
    "input_shape": (1, 16),
    "initial": jax.tree.map(jnp.cos, PARAMS),
}
CRITERIA = [row.name for row in jt.criteria if row.ranks == "weights"]
SCOPES = jt.scopes.names()
# Blocks as small as the layers here.
GRANULARITIES = {row.example: {"block:16x128": "block:4x3"}.get(row.example, row.example) for row in jt.granularities}
FIXED = [row.example for row in jt.granularities if row.fixed]


@functools.cache
def scores_of(name):
    criterion = jt.criteria.get(name)
    return criterion(params=PARAMS, mask=FULL, **{argument: BROUGHT[argument] for argument in criterion.arguments})


def units_of(mask, scores, granularity):
    return mask if granularity == jt.UNSTRUCTURED else pool_units(mask, scores, granularity)[0]


@pytest.mark.parametrize("granularity", [example for example in GRANULARITIES if example not in FIXED])
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("criterion", CRITERIA)
def test_contract(criterion, scope, granularity):
    scores, unit, row = scores_of(criterion), granularity_of(GRANULARITIES[granularity]), jt.scopes.get(scope)
    assert {path: score.shape for path, score in scores.items()} == {path: kept.shape for path, kept in FULL.items()}
    assert {score.dtype for score in scores.values()} == {jnp.dtype("float32")}
    if scope == "output" and granularity == "channel":
        with pytest.raises(MaskError, match="one unit for each output"):
            jt.prune(FULL, scores, sparsity=0.3, scope=scope, granularity=unit)
        return
    mask, alive, paths = FULL, units_of(FULL, scores, unit), tuple(sorted(FULL))
    sizes = [alive[path].size for path in paths]
    for sparsity in (0.3, 0.6, 0.9):
        new = jt.prune(mask, scores, sparsity=sparsity, scope=scope, granularity=unit)
        before, alive = alive, units_of(new, scores, unit)
        kept, left = ([int(jnp.sum(tree[path])) for path in paths] for tree in (before, alive))
        if row.together:
            kept, left, groups = [sum(kept)], [sum(left)], [sum(sizes)]
        else:
            groups = sizes
        counts = UnitCounts(np.array(kept, np.uint32), tuple(groups), paths, tuple(FULL[path].shape for path in paths))
        removed = load_object(row.numbers)(counts, sparsity=sparsity)
        assert left == (counts.kept - removed).tolist()
        if scope in ("layer", "output"):
            assert left == [size - round(sparsity * size) for size in sizes]
        elif scope in ("global", "erk"):
            assert sum(left) == sum(sizes) - round(sparsity * sum(sizes))
        assert all((np.asarray(new[path]) <= np.asarray(mask[path])).all() for path in new)
        swapped = jt.prune(
            dict(reversed(mask.items())),
            dict(reversed(scores.items())),
            sparsity=sparsity,
            scope=scope,
            granularity=unit,
        )
        assert all(np.array_equal(new[path], swapped[path]) for path in new)
        mask = new


@pytest.mark.parametrize("granularity", FIXED)
@pytest.mark.parametrize("criterion", CRITERIA)
def test_patterns_take_every_criterion(criterion, granularity):
    mask = jt.prune(FULL, scores_of(criterion), granularity=granularity)
    pattern = granularity_of(granularity)
    assert count(mask)[0] == sum(pattern.count(np.asarray(kept)) for kept in FULL.values())
    if granularity == "n_of_m:2:4":
        assert count(mask)[0] == count(FULL)[0] // 2


def test_taylor_is_snip():
    assert jt.taylor is jt.snip
