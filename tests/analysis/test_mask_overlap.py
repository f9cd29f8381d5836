import numpy as np
import pytest

from jaxticket import analysis
from jaxticket.core.errors import MaskError

pytestmark = [pytest.mark.feature("statistics")]


def test_overlap_counts():
    a = {"x": np.array([True, True, False, False]), "y": np.array([True, False])}
    b = {"x": np.array([True, False, True, False]), "y": np.array([True, False])}
    found = analysis.overlap(a, b)
    assert (found.shared, found.either) == (2, 4)
    assert found.jaccard == 0.5
    assert found.expected == pytest.approx(2 * 2 / 4 + 1 / 2)
    assert found.chance == pytest.approx(1.5 / (6 - 1.5))


def test_random_masks_overlap_as_chance_says():
    rng = np.random.default_rng(0)
    a, b = ({"x": rng.random(200_000) < 0.2, "y": rng.random(100_000) < 0.7} for _ in range(2))
    found = analysis.overlap(a, b)
    assert found.jaccard == pytest.approx(found.chance, rel=0.01)


def test_equal_masks_overlap_wholly():
    mask = {"x": np.array([True, False])}
    assert analysis.overlap(mask, mask).jaccard == 1
    assert analysis.overlap({"x": np.zeros(3, bool)}, {"x": np.zeros(3, bool)}).jaccard == 1


def test_masks_of_other_networks_are_refused():
    with pytest.raises(MaskError, match="y: in one mask only"):
        analysis.overlap({"x": np.ones(2, bool)}, {"x": np.ones(2, bool), "y": np.ones(2, bool)})
    with pytest.raises(MaskError, match="shapes are"):
        analysis.overlap({"x": np.ones(2, bool)}, {"x": np.ones(3, bool)})
