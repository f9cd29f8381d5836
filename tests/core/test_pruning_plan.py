import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxticket.core.criteria.lamp import lamp
from jaxticket.core.criteria.magnitude import magnitude
from jaxticket.core.errors import MaskError
from jaxticket.core.granularity import UNSTRUCTURED, block, channel, n_of_m
from jaxticket.core.masks import count, full_mask, layer_sparsity, sparsity
from jaxticket.core.prune import prune
from jaxticket.core.pruning_plan import plan

pytestmark = [pytest.mark.feature("rules and paths"), pytest.mark.smoke]

RANDOM = np.random.default_rng(0)
SHAPES = {"stem": (3, 3, 3, 8), "conv1": (3, 3, 8, 16), "conv2": (3, 3, 16, 16), "fc": (16, 12), "head": (12, 10)}
PARAMS = {
    name: {
        "kernel": jnp.asarray(RANDOM.standard_normal(shape), jnp.float32),
        "bias": jnp.zeros(shape[-1], jnp.bfloat16),
    }
    for name, shape in SHAPES.items()
} | {"norm": {"kernel": jnp.ones(16), "scale": jnp.ones(16)}, "step": jnp.int32(0)}
ABSTRACT = jax.eval_shape(lambda: PARAMS)
PRUNABLE = {"conv1/kernel": 1152, "conv2/kernel": 2304, "fc/kernel": 192}
ALL = sum(PRUNABLE.values())
EARLIER = prune(full_mask(PARAMS), magnitude(PARAMS, full_mask(PARAMS)), sparsity=0.3)

DEMANDS = {
    "global": {"sparsity": 0.7},
    "global rate": {"rate": 0.2},
    "protected": {"sparsity": 0.7, "max_layer_sparsity": 0.75},
    "layer": {"sparsity": 0.7, "scope": "layer"},
    "erk": {"rate": 0.9, "scope": "erk"},
    "rules": {"scope": {"conv1/.*": 0.5, ".*": 0.25}},
    "n of m": {"granularity": n_of_m(2, 4)},
    "blocks": {"sparsity": 0.5, "granularity": block(5, 3)},
    "channels": {"sparsity": 0.5, "scope": "layer", "granularity": channel()},
}


def rows(found) -> dict:
    return {row.path: row for row in found.rows}


@pytest.mark.parametrize("earlier", [None, EARLIER], ids=["dense", "pruned"])
@pytest.mark.parametrize("name", DEMANDS)
def test_mask_is_that_of_prune_and_counted(name, earlier) -> None:
    mask = full_mask(PARAMS) if earlier is None else earlier
    expected = prune(mask, magnitude(PARAMS, mask), **DEMANDS[name])
    found = plan(PARAMS, mask=earlier, **DEMANDS[name])
    assert found.mask.keys() == expected.keys()
    jax.tree.map(np.testing.assert_array_equal, found.mask, expected)
    assert (found.kept_after, found.prunable) == count(expected)
    assert found.kept_before == count(mask)[0]
    assert found.sparsity == sparsity(expected)
    for path, share in layer_sparsity(expected).items():
        row = rows(found)[path]
        assert row.sparsity == share
        assert row.kept_before == int(mask[path].sum())
        assert row.kept_after == int(expected[path].sum())


@pytest.mark.parametrize("earlier", [None, EARLIER], ids=["dense", "pruned"])
@pytest.mark.parametrize("name", DEMANDS)
def test_abstract_parameters_are_counted(name, earlier) -> None:
    found = plan(ABSTRACT, mask=earlier, **DEMANDS[name])
    concrete = plan(PARAMS, mask=earlier, **DEMANDS[name])
    assert found.mask is None
    pooled = DEMANDS[name].get("granularity", UNSTRUCTURED) in (block(5, 3), channel())
    assert found.kept_after == (None if pooled else concrete.kept_after)
    per_layer = name in ("layer", "erk", "rules", "n of m")
    for row, like in zip(found.rows, concrete.rows, strict=True):
        assert (row.path, row.shape, row.dtype, row.size) == (like.path, like.shape, like.dtype, like.size)
        assert (row.reason, row.kept_before) == (like.reason, like.kept_before)
        assert (row.kept_after, row.sparsity) == ((like.kept_after, like.sparsity) if per_layer else (None, None))


def test_every_array_has_row_or_reason() -> None:
    found = plan(PARAMS, sparsity=0.5)
    assert [row.path for row in found.rows] == sorted(rows(found))
    reasons = {path: row.reason for path, row in rows(found).items()}
    assert {path for path, reason in reasons.items() if reason is None} == set(PRUNABLE)
    assert reasons["stem/kernel"] == reasons["head/bias"] == "rule '(.*/)?(stem|head)/.*'"
    assert reasons["norm/kernel"] == "rank 1, rule '(.*/)?kernel'"
    assert reasons["norm/scale"] == reasons["step"] == "rule '.*'"
    assert rows(found)["fc/bias"].dtype == "bfloat16"
    assert rows(found)["step"].shape == ()
    assert rows(found)["stem/kernel"].kept_before is None
    assert (found.size, found.prunable) == (sum(leaf.size for leaf in jax.tree.leaves(PARAMS)), ALL)


def test_rules_and_scores_of_ones_own() -> None:
    rules = [("fc/kernel", lambda leaf: leaf.shape[0] > 16), ("conv2/.*", False), (".*kernel", True), (".*", False)]
    found = plan(PARAMS, rules=rules, scores=lamp, sparsity=0.5)
    mask = full_mask(PARAMS, rules)
    jax.tree.map(np.testing.assert_array_equal, found.mask, prune(mask, lamp(PARAMS, mask), sparsity=0.5))
    assert rows(found)["fc/kernel"].reason == "rule 'fc/kernel'"
    assert rows(found)["conv2/kernel"].reason == "rule 'conv2/.*'"
    assert rows(found)["head/kernel"].reason is None


def test_a_given_mask_says_what_is_prunable() -> None:
    found = plan(PARAMS, mask={"head/kernel": jnp.ones((12, 10), bool)}, sparsity=0.5)
    assert rows(found)["head/kernel"].kept_after == 60
    assert rows(found)["fc/kernel"].reason == "not in the mask"


def test_as_json_and_back() -> None:
    for params in (PARAMS, ABSTRACT):
        found = plan(params, sparsity=0.7).to_dict()
        assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["prunable"], found["kept_after"]) == (ALL, ALL - round(0.7 * ALL))
    assert found["rows"][0] | {"reason": ""} == {
        **{"path": "conv1/bias", "shape": [16], "dtype": "bfloat16", "size": 16, "reason": ""},
        **{"kept_before": None, "kept_after": None, "sparsity": None},
    }


def test_as_a_table() -> None:
    params = {"fc": {"kernel": jnp.ones((40, 50)), "bias": jnp.ones(50)}, "head": {"kernel": jnp.ones((50, 10))}}
    assert str(plan(params, sparsity=0.8)) == "\n".join(
        [
            "path          shape  dtype     size  kept before  kept after  sparsity  not prunable because",
            "------------  -----  -------  -----  -----------  ----------  --------  ---------------------------",
            "fc/bias       50     float32     50            -           -         -  rule '.*'",
            "fc/kernel     40x50  float32  2,000        2,000         400    0.8000",
            "head/kernel   50x10  float32    500            -           -         -  rule '(.*/)?(stem|head)/.*'",
            "------------  -----  -------  -----  -----------  ----------  --------  ---------------------------",
            "all prunable                  2,000        2,000         400    0.8000  of 2,550 in all",
        ]
    )
    unknown = str(plan(jax.eval_shape(lambda: params), sparsity=0.8)).splitlines()
    assert unknown[3].split() == ["fc/kernel", "40x50", "float32", "2,000", "2,000", "?", "?"]


def test_network_too_large_to_exist_can_be_planned() -> None:
    """Two billion weights; nothing of their size is made."""
    layer = {"kernel": jax.ShapeDtypeStruct((2**15, 2**15), jnp.bfloat16)}
    found = plan({"a": layer, "b": layer}, sparsity=0.9, scope="erk")
    assert found.kept_after == 2**31 - round(0.9 * 2**31)


def test_any_tree_of_parameters_is_served() -> None:
    params = nnx.State({"fc": {"kernel": nnx.Param(jnp.array([[1.0, -2.0], [3.0, -4.0]]))}})
    found = plan(params, sparsity=0.5)
    np.testing.assert_array_equal(found.mask["fc/kernel"], [[False, False], [True, True]])
    assert plan(jax.eval_shape(lambda: params), sparsity=0.5).kept_after == 2


@pytest.mark.parametrize("params", [PARAMS, ABSTRACT], ids=["concrete", "abstract"])
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "exactly one of them"),
        ({"sparsity": 1.5}, "sparsity=1.5"),
        ({"sparsity": 0.5, "scope": "network"}, "scope='network'"),
        ({"scope": {"conv1/.*": 0.5}}, "nothing covers 'conv2/kernel'"),
        ({"sparsity": 0.9, "max_layer_sparsity": 0.8}, "ask for less or allow more"),
        ({"granularity": n_of_m(2, 5)}, "multiple of 5"),
        ({"sparsity": 0.5, "rules": [("conv.*", True)]}, "no rule covers"),
        ({"sparsity": 0.5, "rules": [(".*", False)]}, "no leaves"),
        ({"sparsity": 0.5, "mask": {"fc3/kernel": jnp.ones((2, 2), bool)}}, "'fc3/kernel'"),
    ],
)
def test_a_mistake_is_named_as_prune_names_it(params, options, named) -> None:
    with pytest.raises(MaskError, match=named):
        plan(params, **options)
