import numpy as np
import pytest

from jaxticket import analysis
from jaxticket.core.errors import ConfigError

pytestmark = [pytest.mark.feature("statistics")]


def test_barrier_is_the_rise_above_line_between_ends():
    found = analysis.error_barrier([0, 0.25, 0.5, 0.75, 1], [0.1, 0.2, 0.5, 0.3, 0.3])
    assert found.height == pytest.approx(0.3)
    assert found.position == 0.5


def test_ends_of_different_quality_are_no_hill():
    assert analysis.error_barrier([0, 0.5, 1], [0.1, 0.3, 0.5]).height == pytest.approx(0)
    assert analysis.error_barrier([0, 0.5, 1], [0.1, 0.05, 0.1]).height == 0


def test_interpolation_keeps_ends_dtypes_and_integers():
    a = {"w": np.float32([0, 2]), "count": np.int32(3)}
    b = {"w": np.float32([1, 4]), "count": np.int32(9)}
    middle = analysis.interpolate(a, b, 0.5)
    assert middle["w"].tolist() == [0.5, 3.0]
    assert middle["w"].dtype == np.float32
    assert middle["count"] == 3
    assert analysis.interpolate(a, b, 0.0)["w"].tolist() == [0, 2]
    assert analysis.interpolate(a, b, 1.0)["w"].tolist() == [1, 4]


def test_path_that_misses_an_end_is_refused():
    with pytest.raises(ConfigError, match="from 0 to 1"):
        analysis.error_barrier([0, 0.5], [0.1, 0.1])
    with pytest.raises(ConfigError, match="increasing"):
        analysis.error_barrier([0, 0, 1], [0.1, 0.1, 0.1])
