"""Packing and unpacking, and what follows from a structure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxticket as jt
from jaxticket.core.errors import MaskError
from jaxticket.kernels import BlockSparse, DenseGroups
from jaxticket.kernels.formats.structure import BlockStructure

pytestmark = [pytest.mark.feature("sparse kernels"), pytest.mark.smoke]


def weight_and_mask(shape, density, seed):
    random = np.random.default_rng(seed)
    return random.standard_normal(shape).astype(np.float32), random.random(shape) < density


@settings(max_examples=12, deadline=None)
@given(
    shape=st.sampled_from([(7, 5), (3, 3, 4, 10), (33, 17)]),
    block=st.sampled_from([(1, 1), (4, 8), (16, 128), (5, 3)]),
    density=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
def test_packing_keeps_every_weight_that_the_mask_keeps(shape, block, density, seed):
    """Unpacked and in groups: the masked weight, to the bit."""
    weight, mask = weight_and_mask(shape, density, seed)
    masked = np.where(mask, weight, 0)
    packed = BlockSparse.from_dense(weight, mask, block)
    groups = DenseGroups.from_dense(weight, mask)
    assert BlockSparse.from_dense(masked, None, block).structure.count <= packed.structure.count
    turned = jax.jit(lambda packed, groups: (packed.to_dense(), groups.to_dense()))
    unpacked, ungrouped = turned(packed, groups)
    np.testing.assert_array_equal(unpacked, masked)
    np.testing.assert_array_equal(ungrouped, masked)
    assert packed.structure.count == len(packed.values) == sum(map(len, packed.structure.columns))


def test_the_blocks_are_those_of_the_pruner():
    """A mask pruned by `jt.block` has just the blocks that are stored: the density is that of the mask."""
    params = {"conv": {"kernel": jax.random.normal(jax.random.key(0), (3, 3, 16, 64))}}
    mask = jt.prune(
        jt.full_mask(params), jt.magnitude(params, jt.full_mask(params)), sparsity=0.75, granularity=jt.block(16, 32)
    )
    packed = BlockSparse.from_dense(params["conv"]["kernel"], mask["conv/kernel"], (16, 32))
    assert packed.density == 1 - jt.sparsity(mask)
    assert packed.nbytes == 4 * jt.count(mask)[0]


def test_orders_of_work():
    grid = np.asarray([[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 1, 0]], bool)
    structure = BlockStructure.of(grid, (8, 6), (2, 2))
    assert [column.tolist() for column in structure.columns] == [[0, 2], [3], [0, 1, 2]]
    assert structure.starts.tolist() == [0, 2, 3, 6]
    assert structure.longest_first.tolist() == [2, 0, 1]
    assert structure.density == 0.5


def test_structures_are_equal_by_content():
    grid = np.eye(3, dtype=bool)
    one, other = (BlockStructure.of(grid, (6, 6), (2, 2)) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != BlockStructure.of(~grid, (6, 6), (2, 2))
    assert one != BlockStructure.of(grid, (6, 5), (2, 2))


def test_a_regrouped_ticket_is_its_groups():
    """As many groups as blocks of rows, and nothing stored outside of them."""
    random = np.random.default_rng(1)
    weight = random.standard_normal((3, 3, 8, 48)).astype(np.float32)
    mask = {"conv/kernel": jnp.asarray(random.random(weight.shape) < 0.3)}
    found = jt.regroup(mask, groups=3, min_rows=4)
    kept = np.asarray(found.mask["conv/kernel"])
    groups = DenseGroups.from_dense(weight, kept)
    assert len(groups.values) == len(found.blocks["conv/kernel"]) == 3
    assert sum(values.size for values in groups.values) == kept.sum()


def test_too_many_groups_are_refused():
    weight, mask = weight_and_mask((9, 30), 0.5, 0)
    with pytest.raises(MaskError, match="28 different masks; at most 8"):
        DenseGroups.from_dense(weight, mask, most=8)
