"""When masks settle: both rules, distances, and the channel masks of three thresholds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxticket import analysis
from jaxticket.core.errors import MaskError

pytestmark = [pytest.mark.feature("early birds")]

SCALES = [0.9, -0.1, 0.5, 0.3, -0.2]


def drift(shares, size=1000):
    """Masks of which each flips another share of the positions than all before."""
    mask, masks, at = np.zeros(size, bool), [], 0
    for share in (0.0, *shares):
        mask = mask.copy()
        flipped = round(share * size)
        mask[at : at + flipped] ^= True
        at += flipped
        masks.append(mask)
    return np.stack(masks)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("sorted", {0.3: "10110", 0.4: "10100", 0.5: "10100", 0.7: "10000"}),
        ("quantile", {0.4: "10110", 0.5: "10100", 0.7: "10100"}),
        ("count", {0.3: "10110", 0.4: "10110", 0.5: "10110", 0.7: "10000"}),
    ],
)
def test_masks(rule, expected):
    """Masks (check 1)."""
    for ratio, mask in expected.items():
        assert analysis.channel_mask(SCALES, ratio, rule).tolist() == [bit == "1" for bit in mask], ratio


def test_equal_scales():
    """Equal scales (check 2): thresholds lose everything, counting removes the first two."""
    equal = np.full(6, 0.5)
    assert not analysis.channel_mask(equal, 0.3, "sorted").any()
    assert not analysis.channel_mask(equal, 0.3, "quantile").any()
    assert analysis.channel_mask(equal, 0.3).tolist() == [False] * 2 + [True] * 4


def test_counts():
    """Counts (check 3): exact at every ratio, whatever binary fractions do."""
    for size, ratios, expected in (
        (1360, (0.1, 0.3, 0.5, 0.7, 0.9), (136, 408, 680, 952, 1224)),
        (4224, (0.1, 0.3, 0.5, 0.7), (422, 1267, 2112, 2957)),
    ):
        scales = np.random.default_rng(0).permutation(size) + 1.0
        assert tuple(int((~analysis.channel_mask(scales, ratio)).sum()) for ratio in ratios) == expected
    scales = np.random.default_rng(0).permutation(1360) + 1.0
    pruned = [int((~analysis.channel_mask(scales, ratio, "sorted")).sum()) for ratio in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert pruned == [137, 409, 681, 952, 1225]


def test_lists_of_scales_are_masked_one_by_one():
    both = np.stack([np.asarray(SCALES), np.asarray(SCALES[::-1])])
    found = analysis.channel_mask(both, 0.7)
    assert found.tolist() == [analysis.channel_mask(one, 0.7).tolist() for one in both]


def test_distance():
    """Distance (check 4)."""
    assert analysis.mask_distances([[1, 0, 1, 1], [1, 1, 1, 0]]).tolist() == [[0, 0.5], [0.5, 0]]


def test_heat_map():
    """Heat map (check 6); masks by path, too."""
    masks = [[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 1]]
    expected = [[0, 0.5, 0.75], [0.5, 0, 0.25], [0.75, 0.25, 0]]
    assert analysis.mask_distances(masks).tolist() == expected
    by_path = [{"b": np.array(m[:1], bool), "a": np.array(m[1:], bool).reshape(3, 1)} for m in masks]
    assert analysis.mask_distances(by_path).tolist() == expected
    assert analysis.emergence(by_path, window=2, epsilon=0.3) == 3


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_distances_are_symmetric_and_the_same_for_complements(count, size, seed):
    masks = np.random.default_rng(seed).random((count, size)) < 0.5
    found = analysis.mask_distances(masks)
    assert np.array_equal(found, found.T)
    assert not np.diagonal(found).any()
    assert np.array_equal(found, analysis.mask_distances(~masks))


def test_the_rules_part_on_a_slow_drift():
    """Steps of 5 % are small one by one; four of them are within 10 % only when they have become smaller."""
    masks = drift([0.05] * 11 + [0.02] * 8)
    assert analysis.emergence(masks, first=0) == 15
    assert analysis.emergence(masks, "consecutive", first=0) == 5
    assert analysis.emergence(masks) == 16
    assert analysis.emergence(masks, "consecutive") == 6
    assert analysis.emergence(analysis.mask_distances(masks)) == 16


def test_masks_that_never_change_emerge_at_once():
    still = np.ones((8, 10), bool)
    assert analysis.emergence(still) == 5
    assert analysis.emergence(still, "consecutive") == 6
    assert analysis.emergence(still[:4]) is None
    assert analysis.emergence(still[:5], "consecutive") is None


def test_only_one_rule_allows_the_largest_distance():
    masks = drift([0.1] * 4)
    assert analysis.emergence(masks, window=2) == 2
    assert analysis.emergence(masks, "consecutive", window=2) is None
    assert analysis.emergence(masks, "consecutive", window=2, epsilon=0.101) == 3


def test_a_band_of_distances_is_enough():
    masks = drift([0.05] * 11 + [0.02] * 8)
    whole = analysis.mask_distances(masks)
    band = np.array([[whole[t, t - 1 - j] if t > j else 0.0 for j in range(4)] for t in range(len(whole))])
    matrix = analysis.band_matrix(band)
    assert np.isnan(matrix[0, 5])
    near = ~np.isnan(matrix)
    assert np.array_equal(matrix[near], whole[near])
    assert near.sum() == sum(min(9, 1 + 4 + t, len(whole) - t + 4, len(whole)) for t in range(len(whole)))
    for rule in ("latest_vs_window", "consecutive"):
        assert analysis.emergence(matrix, rule) == analysis.emergence(masks, rule)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: analysis.emergence(np.ones((3, 2), bool), "newest"), "rule='newest'"),
        (lambda: analysis.emergence(np.ones((3, 2), bool), window=1), "window=1"),
        (lambda: analysis.emergence(np.ones((3, 2), bool), epsilon=2), "epsilon=2"),
        (lambda: analysis.emergence(np.zeros((3, 2))), r"shape \(3, 2\)"),
        (lambda: analysis.mask_distances(np.ones(3, bool)), r"shape \(3,\)"),
        (lambda: analysis.mask_distances([{"a": np.ones(2, bool)}, {"a": np.ones(3, bool)}]), "different paths"),
        (lambda: analysis.channel_mask(SCALES, 0.5, "median"), "rule='median'"),
        (lambda: analysis.channel_mask(SCALES, 1.5), "ratio=1.5"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(MaskError, match=message):
        call()
