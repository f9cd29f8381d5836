"""Union-find over positions, against sets; and the balance of parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxticket.structure.channel_groups.equal_parts import tie_equal_parts
from jaxticket.structure.channel_groups.union_find import UnionFind

pytestmark = [pytest.mark.feature("channel groups"), pytest.mark.smoke]

SIZE = 8
POSITIONS = st.lists(st.integers(0, SIZE - 1), min_size=3, max_size=3)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(POSITIONS, POSITIONS), max_size=6), st.lists(st.tuples(st.integers(0, 6), POSITIONS), max_size=2)
)
def test_merging_is_the_transitive_closure(merges, pins):
    ids = UnionFind()
    labels = ids.fresh(SIZE)
    sets, pinned = [{i} for i in range(SIZE)], set()
    for number, (first, second) in enumerate(merges):
        for when, positions in pins:
            if when == number:
                ids.pin(labels[positions], "they stay")
                pinned |= set(positions)
        ids.merge(labels[first], labels[second])
        for one, other in zip(first, second, strict=True):
            joined = sets[one] | sets[other]
            for member in joined:
                sets[member] = joined
    roots = ids.roots(labels)
    for i in range(SIZE):
        assert set(np.flatnonzero(roots == roots[i])) == sets[i]
        assert roots[i] == min(sets[i])
        assert bool(ids.reason(int(roots[i]))) == bool(sets[i] & pinned)


def test_fixed_positions_pass_their_reason_on():
    ids = UnionFind()
    labels = ids.fresh(3)
    early, late = ids.fixed(3, "early"), ids.fixed(3, "late")
    ids.merge(late[:2], labels[:2])
    ids.merge(labels[1:], early[1:])
    assert [ids.reason(int(root)) for root in ids.roots(labels)] == ["late", "early", "early"]
    assert [ids.reason(int(root)) for root in early] == ["early"] * 3


@settings(max_examples=200, deadline=None)
@given(
    st.integers(2, 3),
    st.integers(1, 6),
    st.data(),
)
def test_every_channel_takes_equally_from_parts(count, size, data):
    ids = UnionFind()
    total = count * size
    labels = ids.fresh(total)
    order = np.array(data.draw(st.permutations(range(total))))
    merged = data.draw(st.integers(0, total - 1))
    ids.merge(labels[order[:merged]], labels[np.roll(order, 1)[:merged]])
    ids.pin(labels[order[: data.draw(st.integers(0, 2))]], "they stay")
    before = {int(root) for root in ids.roots(labels) if not ids.reason(int(root))}
    parts = labels.reshape(count, size)
    tie_equal_parts(ids, parts)
    roots = ids.roots(parts)
    for root in np.unique(roots):
        numbers = (roots == root).sum(axis=1)
        assert ids.reason(int(root)) or numbers.min() == numbers.max()
    if merged == 0 and len(before) == total:  # nothing stands in the way: one of each part
        assert len(np.unique(roots)) == size
        assert not any(ids.reason(int(root)) for root in np.unique(roots))
