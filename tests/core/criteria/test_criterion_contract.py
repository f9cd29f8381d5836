"""Every criterion with every scope and granularity: exact counts, nested, never revived, in any order of leaves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxticket as jt
from jaxticket.core.granularity import pool_units
from jaxticket.core.masks import count

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


CRITERIA = {
    "magnitude": jt.magnitude,
    "random": lambda params, mask: jt.random_scores(params, mask, jax.random.key(0)),
    "lamp": jt.lamp,
    "snip": lambda params, mask: jt.snip(network, params, mask, BATCHES),
    "grasp": lambda params, mask: jt.grasp(network, params, mask, BATCHES),
    "obd": lambda params, mask: jt.obd(network, params, mask, BATCHES),
    "synflow": lambda params, mask: jt.synflow(network, params, mask, (1, 16)),
    "wanda": lambda params, mask: jt.wanda(params, mask, {"fc1/kernel": jnp.ones(16), "fc2/kernel": jnp.arange(24.0)}),
    "movement": lambda params, mask: jt.movement(params, mask, jax.tree.map(jnp.sin, params)),
}
SCOPES = ("global", "layer", "erk")
GRANULARITIES = {"unstructured": jt.UNSTRUCTURED, "block": jt.block(4, 3), "channel": jt.channel()}


@functools.cache
def scores_of(criterion):
    return CRITERIA[criterion](PARAMS, FULL)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("criterion", CRITERIA)
def test_contract(criterion, scope, granularity):
    scores, unit = scores_of(criterion), GRANULARITIES[granularity]
    assert {path: score.shape for path, score in scores.items()} == {path: kept.shape for path, kept in FULL.items()}
    assert {score.dtype for score in scores.values()} == {jnp.dtype("float32")}
    units, _ = pool_units(FULL, scores, unit) if granularity != "unstructured" else (FULL, None)
    sizes = {path: leaf.size for path, leaf in units.items()}
    mask = FULL
    for sparsity in (0.3, 0.6, 0.9):
        new = jt.prune(mask, scores, sparsity=sparsity, scope=scope, granularity=unit)
        left, _ = pool_units(new, scores, unit) if granularity != "unstructured" else (new, None)
        kept = {path: int(jnp.sum(leaf)) for path, leaf in left.items()}
        if scope == "layer":
            assert kept == {path: size - round(sparsity * size) for path, size in sizes.items()}
        else:
            assert sum(kept.values()) == sum(sizes.values()) - round(sparsity * sum(sizes.values()))
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


def test_snip_and_taylor_choose_alike_and_n_of_m_takes_every_criterion():
    for criterion in CRITERIA:
        mask = jt.prune(FULL, scores_of(criterion), granularity=jt.n_of_m(2, 4))
        assert count(mask)[0] == count(FULL)[0] // 2
    assert jt.taylor is jt.snip
