import numpy as np
import pytest

from jaxticket import analysis
from jaxticket.core.errors import MaskError

pytestmark = [pytest.mark.feature("sanity checks")]


@pytest.fixture
def weights():
    rng = np.random.default_rng(0)
    return {"a/kernel": rng.normal(size=20_000), "b/kernel": rng.normal(size=50_000)}


def test_correlation_statistics(weights):
    """Independent normals give p, a perturbed copy more, the reciprocals nothing."""
    rng = np.random.default_rng(1)

    def disturbed(by):
        return {path: leaf + by * rng.normal(size=leaf.shape) for path, leaf in weights.items()}

    independent = {path: rng.normal(size=leaf.shape) for path, leaf in weights.items()}
    assert analysis.correlation(weights, weights) == 1
    assert analysis.correlation(weights, independent) == pytest.approx(0.1, abs=0.01)
    assert analysis.correlation(weights, disturbed(0.5)) == pytest.approx(0.62, abs=0.02)
    assert analysis.correlation(weights, disturbed(3.0)) == pytest.approx(0.16, abs=0.02)
    assert analysis.correlation(weights, {path: 1 / leaf for path, leaf in weights.items()}) == 0
    assert analysis.correlation(weights, {path: -leaf for path, leaf in weights.items()}) == 1


def test_scales_of_layers_do_not_matter_to_ranks(weights):
    scaled = {"a/kernel": 1000 * weights["a/kernel"], "b/kernel": weights["b/kernel"]}
    assert analysis.correlation(weights, scaled) == 1


def test_only_survivors_count():
    a = {"kernel": np.arange(1.0, 41.0)}
    b = {"kernel": np.concatenate([np.arange(1.0, 21.0), np.arange(40.0, 20.0, -1)])}
    mask = {"kernel": np.arange(40) < 20}
    assert analysis.correlation(a, b, mask) == 1
    assert analysis.correlation(a, b, {"kernel": ~mask["kernel"]}) == 0


def test_sum_over_layers_is_weighted_by_their_sizes():
    a = {"large": np.arange(1.0, 101.0), "small": np.arange(1.0, 11.0), "tiny": np.ones(3)}
    b = {"large": -a["large"], "small": 1 / a["small"], "tiny": np.ones(3)}
    assert analysis.layer_correlation(a, b) == {"large": 1.0, "small": 0.0}
    assert analysis.correlation(a, b) == pytest.approx(10 / 11)


def test_errors_name_the_layer():
    a = {"kernel": np.ones(20)}
    with pytest.raises(MaskError, match="other: not in a"):
        analysis.correlation(a, a, {"other": np.ones(20, bool)})
    with pytest.raises(MaskError, match=r"kernel: shapes are \(20,\), \(10,\)"):
        analysis.correlation(a, {"kernel": np.ones(10)})
    with pytest.raises(MaskError, match=r"p=0\.01"):
        analysis.correlation(a, a, p=0.01)
    with pytest.raises(MaskError, match="above 0"):
        analysis.correlation(a, a, p=0.0)
