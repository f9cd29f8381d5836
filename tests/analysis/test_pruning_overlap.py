"""How far those who prune one mask agree."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxticket.analysis.pruning_overlap import expected_kept, pruning_overlap

pytestmark = [pytest.mark.feature("COLT")]


def mask_of(text):
    return np.array([letter == "1" for letter in text])


def test_prune_and_and():
    """Prune + AND: q = 0.5, kept 0.7 = 1 - 0.2 * (2 - 0.5)."""
    found = pruning_overlap({"w": np.ones(10, bool)}, [{"w": mask_of("1110110111")}, {"w": mask_of("1110011111")}])
    assert (found.overlap, found.kept, found.layers) == (0.5, 0.7, {"w": 0.5})
    assert expected_kept(0.2, 0.5) == pytest.approx(0.7)


@pytest.mark.parametrize(("overlap", "kept"), [(1, 0.85), (2 / 3, 0.8), (0.5, 0.775), (0.15, 0.7225), (0, 0.7)])
def test_kept_per_round(overlap, kept):
    """Kept fraction by q for p = 0.15."""
    assert expected_kept(0.15, overlap) == pytest.approx(kept)


@given(seed=st.integers(0, 2**16), gone=st.integers(1, 20))
def test_what_two_keep_follows_from_their_overlap(seed, gone):
    rng = np.random.default_rng(seed)
    before = {"a": rng.random((6, 5)) < 0.9, "b": np.ones(30, bool)}
    alive = np.concatenate([kept.ravel() for kept in before.values()])

    def pruned():
        flat = alive.copy()
        flat[rng.choice(np.flatnonzero(alive), gone, replace=False)] = False
        return {"a": flat[:30].reshape(6, 5), "b": flat[30:]}

    found = pruning_overlap(before, [pruned(), pruned()])
    assert found.kept == pytest.approx(expected_kept(gone / alive.sum(), found.overlap))


def test_several_are_compared_in_pairs():
    before = {"a": np.ones(4, bool), "b": np.ones(2, bool)}
    after = [{"a": mask_of(text), "b": np.ones(2, bool)} for text in ("0111", "0111", "1110")]
    found = pruning_overlap(before, after)
    assert found.overlap == pytest.approx(1 / 3)
    assert found.layers == {"a": pytest.approx(1 / 3), "b": None}
    assert found.kept == 4 / 6
    assert pruning_overlap(before, [before, before]).overlap is None
    assert pruning_overlap({"a": np.zeros(4, bool)}, [{"a": np.zeros(4, bool)}] * 2).kept == 1
