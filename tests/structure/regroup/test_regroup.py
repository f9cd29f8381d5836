"""Regroup: dense blocks of rows with the same columns, and an honest report of what became of every layer."""

import re

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

import jaxticket as jt
from jaxticket.core.errors import MaskError
from jaxticket.structure.matrix import from_matrix, to_matrix
from jaxticket.structure.regroup.block_columns import RULES

pytestmark = [pytest.mark.feature("refill and regroup")]

# The published program, but for its partitioner.
UPSTREAM = {
    **{"rule": "upstream", "min_rows": 17, "on_dense_group": "drop", "on_small_group": "drop"},
    "max_density": 1.0,
}


def scattered(shape, density, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < density


def only(regrouped):
    (path,) = regrouped.mask
    return to_matrix(regrouped.mask[path]), regrouped.blocks[path], regrouped.report.layers[path]


def kernel(rows) -> dict:
    """A mask with one leaf, [inputs, outputs], from rows of output channels."""
    return {"fc/kernel": np.asarray(rows, bool).T}


def check_blocks(before, after, blocks, layer, disjoint_rows=True):
    """Blocks without a weight in common make up the mask, whose report is true."""
    area = np.zeros(after.shape, int)
    for rows, columns in blocks:
        assert np.array_equal(rows, np.unique(rows))
        assert np.array_equal(columns, np.unique(columns))
        area[np.ix_(rows, columns)] += 1
    if blocks:
        assert np.array_equal(area, after)
    else:
        assert np.array_equal(before, after)
    if disjoint_rows and blocks:
        rows = np.concatenate([rows for rows, _ in blocks])
        assert len(set(rows)) == len(rows)
    assert layer.new_kept == after.sum()
    assert layer.kept == before.sum()
    assert layer.survivors == (before & after).sum()
    assert layer.emptied_channels == (before.any(1) & ~after.any(1)).sum()
    assert layer.dead_channels == (~after.any(1)).sum()
    assert layer.structured == (bool(blocks) or not before.any())
    assert bool(layer.note) == (not blocks and bool(before.any()))


@hypothesis.settings(max_examples=120, deadline=None, derandomize=True, database=None)
@hypothesis.given(
    seed=st.integers(0, 2**16),
    density=st.sampled_from([0.0, 0.03, 0.2, 0.5, 0.9, 1.0]),
    dead=st.integers(0, 24),
    groups=st.sampled_from(["auto", 1, 3, 8]),
    rule=st.sampled_from(RULES),
    min_rows=st.integers(1, 20),
    drop=st.booleans(),
)
def test_properties(seed, density, dead, groups, rule, min_rows, drop):
    """Regroup properties: rows disjoint, one support per block, counts, empty rows stay empty, any rule."""
    before = scattered((24, 36), density, seed)
    before[:dead] = False
    mask = {"conv/kernel": from_matrix(before, (3, 3, 4, 24))}
    how = {"on_small_group": "drop", "on_dense_group": "drop"} if drop else {}
    found = jt.regroup(mask, groups=groups, rule=rule, min_rows=min_rows, seed=seed, **how)
    after, blocks, layer = only(found)
    check_blocks(before, after, blocks, layer)
    assert not after[:dead].any()
    assert all(len(rows) >= min_rows for rows, _ in blocks)
    if blocks and rule in ("row_budget", "upstream", "profile", "residual") and not drop:
        assert layer.emptied_channels == 0
    if rule == "budget":
        assert layer.new_kept < layer.kept + 24  # not more than one column of a group above the mask's
    again = jt.regroup(mask, groups=groups, rule=rule, min_rows=min_rows, seed=seed, **how)
    assert jt.distance(found.mask, again.mask) == 0


@hypothesis.settings(max_examples=40, deadline=None, derandomize=True, database=None)
@hypothesis.given(seed=st.integers(0, 2**16), density=st.floats(0.05, 0.7), t2=st.integers(1, 6))
def test_until_empty_covers_more_in_disjoint_blocks(seed, density, t2):
    before = scattered((24, 36), density, seed)
    how = {"rule": "min_count", "groups": 3, "min_rows": 4, "t2": t2, "seed": seed}
    once = only(jt.regroup(kernel(before), **how))[2]
    after, blocks, layer = only(jt.regroup(kernel(before), until_empty=True, **how))
    check_blocks(before, after, blocks, layer, disjoint_rows=False)
    assert layer.coverage >= once.coverage


def test_until_empty_finds_what_a_second_grouping_has():
    """Two rows of different groups have columns in common that neither of their groups has."""
    rows = np.zeros((8, 40), bool)
    rows[:4, :10] = rows[4:, 10:20] = True
    rows[[0, 1, 4, 5], 30:] = True
    how = {"rule": "min_count", "groups": 2, "min_rows": 4, "t2": 4}
    once, twice = (only(jt.regroup(kernel(rows), until_empty=again, **how)) for again in (False, True))
    assert once[2].coverage == 80 / 120
    assert twice[2].coverage == 1
    assert twice[2].holes == 0
    assert [(len(r), len(c)) for r, c in twice[1]] == [(4, 10)] * 3


def test_the_result_need_not_be_a_subset():
    before = scattered((32, 50), 0.3)
    after, _, layer = only(jt.regroup(kernel(before)))
    assert (after & ~before).any()
    assert layer.holes > 0.1


def test_parity_needs_more_than_16_rows():
    """Minimum rows: eight groups of 16 rows give no block with more than 16 asked for, eight with 16."""
    mask = {"fc/kernel": scattered((60, 128), 0.2)}
    groups = {"fc/kernel": np.arange(128).reshape(8, 16).tolist()}
    for how in ({"groups": groups}, {"groups": 8}):
        strict = jt.regroup(mask, **how, **UPSTREAM)
        assert jt.distance(strict.mask, mask) == 0
        layer = strict.report.layers["fc/kernel"]
        assert (layer.structured, layer.blocks) == (False, ())
        assert "no group of 17 rows" in layer.note
        loose = jt.regroup(mask, **how, **(UPSTREAM | {"min_rows": 16}))
        assert [rows for rows, _ in loose.report.layers["fc/kernel"].blocks] == [16] * 8


def test_automatic_groups_have_about_32_rows():
    """Group sizes; rows that keep nothing are not counted."""
    numbers = {32: 1, 64: 2, 128: 4, 256: 8, 512: 8, 1024: 8, 40: 1}
    for rows, groups in numbers.items():
        kept = scattered((rows + 7, 20), 0.3, seed=rows)
        kept[:7], kept[7:, 0] = False, True
        assert len(jt.regroup(kernel(kept)).blocks["fc/kernel"]) == groups


def test_group_too_dense_is_kept_or_dropped():
    rows = np.zeros((32, 60), bool)
    rows[:16, :50] = True
    rows[16:, 50:] = True
    groups = {"fc/kernel": [range(16), range(16, 32)]}
    after, blocks, layer = only(jt.regroup(kernel(rows), groups=groups, rule="upstream"))
    assert after[:16].all()
    assert sorted(len(columns) for _, columns in blocks) == [16, 60]
    assert layer.emptied_channels == 0
    dropped = only(jt.regroup(kernel(rows), groups=groups, rule="upstream", on_dense_group="drop"))[2]
    assert dropped.emptied_channels == 16
    assert dropped.coverage == 160 / 960


def test_small_group_is_merged_or_dropped():
    rows = np.zeros((44, 60), bool)
    rows[:16, :20] = rows[16:32, 20:40] = rows[32:, 22:42] = True
    groups = {"fc/kernel": [range(16), range(16, 32), range(32, 44)]}
    _, blocks, layer = only(jt.regroup(kernel(rows), groups=groups, rule="min_count"))
    assert [rows.tolist() for rows, _ in blocks] == [list(range(16, 44)), list(range(16))]
    assert layer.coverage == 1
    dropped = only(jt.regroup(kernel(rows), groups=groups, rule="min_count", on_small_group="drop"))[2]
    assert dropped.emptied_channels == 12


def test_layers_without_a_block():
    kept = scattered((10, 30), 0.4)
    number = -(-int(kept.sum()) // 30)
    same = jt.regroup(kernel(kept))
    assert jt.distance(same.mask, kernel(kept)) == 0
    assert same.blocks["fc/kernel"] == []
    assert same.report.structured_share == 0
    assert same.report.layers["fc/kernel"].note == "no block: 10 channels keep something, min_rows is 16"
    assert jt.sparsity(jt.regroup(kernel(kept), on_unstructured="dense").mask) == 0
    after, blocks, layer = only(jt.regroup(kernel(kept), on_unstructured="refill"))
    assert layer.structured
    assert layer.note
    assert [len(rows) for rows, _ in blocks] == [number]
    best = np.argsort(-kept.sum(1), kind="stable")[:number]
    assert np.array_equal(np.flatnonzero(after.any(1)), np.sort(best))


def test_nearly_filled_layer_keeps_its_mask():
    """The first rounds of the paper's densities: what would become dense stays scattered."""
    kept = scattered((32, 60), 0.8)
    filled = jt.regroup(kernel(kept), max_density=1.0)
    assert jt.sparsity(filled.mask) < 0.05
    same = jt.regroup(kernel(kept))
    assert jt.distance(same.mask, kernel(kept)) == 0
    assert same.blocks["fc/kernel"] == []
    assert re.match(r"no block: they would hold \d+\.\d% of it, max_density is 90.0%", only(same)[2].note)
    assert jt.sparsity(jt.regroup(kernel(kept), on_unstructured="dense").mask) == 0
    assert jt.regroup(kernel(scattered((32, 60), 0.3))).blocks["fc/kernel"]


def test_a_layer_without_survivors_stays_empty():
    after, blocks, layer = only(jt.regroup(kernel(np.zeros((32, 30))), on_unstructured="dense"))
    assert not after.any()
    assert blocks == []
    assert (layer.structured, layer.coverage, layer.holes, layer.dead_channels) == (True, 1, 0, 32)


def test_densities_of_the_rules_on_the_synthetic_mask():
    """The table of rules on a synthetic 512 x 4608 mask: new density, coverage and emptied channels."""
    random = np.random.default_rng(2)
    weights = np.abs(random.normal(size=(512, 512, 9)))
    weights *= np.exp(0.6 * random.normal(size=(512, 1, 1)))
    weights *= np.exp(0.6 * random.normal(size=(1, 512, 1)))
    expected = {
        0.3277: [(0.420, 0.652, 64), (0.548, 0.897, 0), (0.282, 0.573, 0), (0.328, 0.661, 0), (0.492, 0.854, 0)],
        0.1342: [(0.278, 0.822, 0), (0.283, 0.823, 0), (0.153, 0.594, 0), (0.134, 0.552, 64), (0.201, 0.716, 0)],
    }
    rules = [UPSTREAM, {}, {"rule": "residual"}, {"rule": "budget"}, {"rule": "budget", "area_ratio": 1.5}]
    for density, rows in expected.items():
        mask = kernel(weights.reshape(512, -1) >= np.quantile(weights, 1 - density))
        for how, row in zip(rules, rows, strict=True):
            layer = only(jt.regroup(mask, groups=8, **how))[2]
            found = (layer.new_density, layer.coverage, layer.emptied_channels)
            assert found == pytest.approx(row, abs=0.005), (density, how)


def test_groups_by_likeness_cover_more():
    rows = scattered((16, 60), 0.3)[np.random.default_rng(1).permutation(64) % 16] ^ scattered((64, 60), 0.1, 2)
    chance = {"fc/kernel": np.arange(64).reshape(4, 16).tolist()}
    by_chance, by_likeness = (
        only(jt.regroup(kernel(rows), rule="budget", groups=groups))[2].coverage for groups in (chance, 4)
    )
    assert by_likeness > by_chance + 0.05


def test_totals_and_their_table():
    mask = {"a/kernel": scattered((40, 32), 0.3), "b/kernel": scattered((20, 8), 0.3)}
    found = jt.regroup(mask)
    report = found.report
    kept, total = jt.count(found.mask)
    in_blocks = sum(len(rows) * len(columns) for layer in found.blocks.values() for rows, columns in layer)
    assert report.new_density == kept / total
    assert report.density == 1 - jt.sparsity(mask)
    assert report.structured_share == in_blocks / kept
    assert report.coverage == jt.count(jt.intersect(mask, found.mask))[0] / jt.count(mask)[0]
    table = str(report).splitlines()
    assert len(table) == 4
    assert "a/kernel" in table[1]
    assert "8 channels keep something" in table[2]
    assert "of the survivors covered" in table[3]


def test_masks_come_back_as_jax_arrays():
    spread = jax.sharding.NamedSharding(
        jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,)), jax.sharding.PartitionSpec("data")
    )
    mask = {"a/kernel": jax.device_put(scattered((40, 32), 0.3), spread), "b/kernel": scattered((20, 8), 0.3)}
    new = jt.regroup(mask).mask
    assert all(isinstance(kept, jax.Array) and kept.dtype == bool for kept in new.values())
    assert new["a/kernel"].sharding == spread


MASK = {"fc/kernel": scattered((12, 32), 0.3)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "row_buget"}, "rule='row_buget': must be one of .* did you mean 'row_budget'"),
        ({"groups": 0}, "groups=0: must be 'auto', a whole number of at least 1, or rows by path"),
        ({"groups": {}}, "groups and mask do not agree on 'fc/kernel'"),
        ({"groups": {"fc/kernel": 3}}, "must be lists of row numbers"),
        ({"groups": {"fc/kernel": [[0, 1], [1]]}}, "has row 1 more than once"),
        ({"groups": {"fc/kernel": [[0, 32]]}}, "has row 32; rows are 0 to 31"),
        ({"groups": {"fc/kernel": [range(31)]}}, "lacks row 31, which keeps something"),
        ({"min_rows": 0}, "min_rows=0: must be a whole number"),
        ({"ratio": 0}, "ratio=0: must be more than 0"),
        ({"t2": 4}, "t2=4 with rule='row_budget': it needs 'min_count'"),
        ({"until_empty": 2}, "until_empty=2: must be one of False, True"),
        ({"until_empty": True}, "it needs 'min_count'"),
        ({"on_unstructured": "drop"}, "must be one of keep, dense, refill"),
        ({"partitioner": "metis"}, "must be one of numpy, mtkahypar"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_mistakes_are_one_line(options, message):
    with pytest.raises(MaskError, match=message) as caught:
        jt.regroup(MASK, **options)
    assert "\n" not in str(caught.value)


def test_masks_that_cannot_be_structured():
    with pytest.raises(MaskError, match="no leaves"):
        jt.regroup({})
    with pytest.raises(MaskError, match=r"mask\['bn/scale'\] has shape \(4,\)"):
        jt.regroup({"bn/scale": jnp.ones(4, bool)})
    with pytest.raises(MaskError, match="traced"):
        jax.jit(lambda mask: jt.regroup(mask).mask)(MASK)
